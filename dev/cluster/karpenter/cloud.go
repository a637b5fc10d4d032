package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	kwok "sigs.k8s.io/karpenter/kwok/cloudprovider"
	v1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/scheduling"
)

// offer is one way to get a machine: a line of the file.
type offer struct{ instanceType, capacityType string }

// cloud is KWOK's, but for what is sold out. Like the providers of real clouds it takes an offering for available until
// a machine of it was refused, and then leaves it out of what Karpenter may choose from.
type cloud struct {
	*kwok.CloudProvider
	client        client.Client
	instanceTypes []*cloudprovider.InstanceType
	file          string

	mutex   sync.Mutex
	refused map[offer]bool
}

func newCloud(client client.Client, instanceTypes []*cloudprovider.InstanceType, file string) *cloud {
	whole := kwok.NewCloudProvider(context.Background(), client, instanceTypes)
	return &cloud{CloudProvider: whole, client: client, instanceTypes: instanceTypes, file: file, refused: map[offer]bool{}}
}

// Create makes a node of the cheapest offering that is taken for available, or says that it is sold out.
func (c *cloud) Create(ctx context.Context, claim *v1.NodeClaim) (*v1.NodeClaim, error) {
	soldOut, err := c.soldOut()
	if err != nil {
		return nil, err
	}
	known, found := c.known(soldOut), (*cloudprovider.Offering)(nil)
	requirements := scheduling.NewNodeSelectorRequirementsWithMinValues(claim.Spec.Requirements...)
	wanted := requirements.Get(corev1.LabelInstanceTypeStable)
	var chosen offer
	for _, each := range known {
		if !wanted.Has(each.Name) {
			continue
		}
		for _, offering := range each.Offerings.Available().Compatible(requirements) {
			if found == nil || offering.Price < found.Price {
				found, chosen = offering, offer{each.Name, offering.CapacityType()}
			}
		}
	}
	if found == nil {
		return nil, cloudprovider.NewInsufficientCapacityError(fmt.Errorf("everything that fits was refused before"))
	}
	if soldOut[chosen] {
		c.mutex.Lock()
		defer c.mutex.Unlock()
		c.refused[chosen] = true
		return nil, cloudprovider.NewInsufficientCapacityError(
			fmt.Errorf("%s (%s) is not available in %s", chosen.instanceType, chosen.capacityType, found.Zone()))
	}
	// KWOK's own choice fails where a type has nothing left, so it is given no other.
	only := claim.DeepCopy()
	for i := range only.Spec.Requirements {
		if only.Spec.Requirements[i].Key == corev1.LabelInstanceTypeStable {
			only.Spec.Requirements[i].Values = []string{chosen.instanceType}
		}
	}
	return kwok.NewCloudProvider(ctx, c.client, known).Create(ctx, only)
}

// GetInstanceTypes gives copies: what is available changes, and Karpenter reads them meanwhile.
func (c *cloud) GetInstanceTypes(_ context.Context, _ *v1.NodePool) ([]*cloudprovider.InstanceType, error) {
	soldOut, err := c.soldOut()
	if err != nil {
		return nil, err
	}
	return c.known(soldOut), nil
}

// known is every instance type, as available as it is known to be; a machine that is there again is known at once.
func (c *cloud) known(soldOut map[offer]bool) []*cloudprovider.InstanceType {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	made := make([]*cloudprovider.InstanceType, 0, len(c.instanceTypes))
	for _, each := range c.instanceTypes {
		one := &cloudprovider.InstanceType{}
		each.DeepCopyInto(one)
		for _, offering := range one.Offerings {
			of := offer{one.Name, offering.CapacityType()}
			if !soldOut[of] {
				delete(c.refused, of)
			}
			offering.Available = !c.refused[of]
		}
		made = append(made, one)
	}
	return made
}

func (c *cloud) soldOut() (map[offer]bool, error) {
	if c.file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(c.file)
	if err != nil {
		return nil, err
	}
	found := map[offer]bool{}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) == 2 {
			found[offer{words[0], words[1]}] = true
		}
	}
	return found, nil
}
