// Command karpenter is the real Karpenter with its KWOK cloud, and with what that lacks: offerings that run out.
//
// The file SOLD_OUT_FILE holds a line `INSTANCE-TYPE CAPACITY-TYPE` for each offering that has no machine left.
// As with a real cloud, Karpenter learns of it when it asks for one.
package main

import (
	"os"

	"sigs.k8s.io/controller-runtime/pkg/log"
	kwok "sigs.k8s.io/karpenter/kwok/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/cloudprovider/overlay"
	"sigs.k8s.io/karpenter/pkg/controllers"
	"sigs.k8s.io/karpenter/pkg/controllers/state"
	"sigs.k8s.io/karpenter/pkg/operator"
)

func main() {
	ctx, op := operator.NewOperator()
	instanceTypes, err := kwok.ConstructInstanceTypes(ctx)
	if err != nil {
		log.FromContext(ctx).Error(err, "reading the instance types")
		os.Exit(1)
	}
	cloud := newCloud(op.GetClient(), instanceTypes, os.Getenv("SOLD_OUT_FILE"))
	decorated := overlay.Decorate(cloud, op.GetClient(), op.InstanceTypeStore)
	cluster := state.NewCluster(op.Clock, op.GetClient(), decorated)
	op.WithControllers(ctx, controllers.NewControllers(
		ctx, op.Manager, op.Clock, op.GetClient(), op.EventRecorder, decorated, cloud, cluster, op.InstanceTypeStore,
	)...).Start(ctx)
}
