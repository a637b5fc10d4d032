// Command health says what Argo CD and Flux make of objects, by the code that they run themselves: Argo's
// interpreter, opened as far as Argo opens it for a script of a user's, and the kstatus of Flux.
//
// In: {"scripts": {KIND: LUA}, "objects": [OBJECT]}. Out: for each object {"argo": {"status", "message"}, "flux": …}.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// As long as Argo gives a script.
const scriptTime = time.Second

type question struct {
	Scripts map[string]string           `json:"scripts"`
	Objects []unstructured.Unstructured `json:"objects"`
}

type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

type answer struct {
	Argo health `json:"argo"`
	Flux health `json:"flux"`
}

func main() {
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		fail(err)
	}
	answers := make([]answer, 0, len(asked.Objects))
	for number := range asked.Objects {
		object := &asked.Objects[number]
		argo, err := ofArgo(object.Object, asked.Scripts[object.GetKind()])
		if err != nil {
			fail(fmt.Errorf("object %d, a %s: %w", number, object.GetKind(), err))
		}
		flux, err := status.Compute(object)
		if err != nil {
			fail(fmt.Errorf("object %d, a %s: %w", number, object.GetKind(), err))
		}
		answers = append(answers, answer{argo, health{flux.Status.String(), flux.Message}})
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "health:", err)
	os.Exit(1)
}

// ofArgo runs a script with no more than the libraries that Argo opens; string, math and io are not among them. Argo
// opens a part of os besides, which health scripts have no use for.
func ofArgo(object map[string]interface{}, script string) (health, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.BaseLibName: lua.OpenBase,
		lua.LoadLibName: lua.OpenPackage,
		lua.TabLibName:  lua.OpenTable,
	} {
		opening := lua.P{Fn: state.NewFunction(open), Protect: true}
		if err := state.CallByParam(opening, lua.LString(name)); err != nil {
			return health{}, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), scriptTime)
	defer cancel()
	state.SetContext(ctx)
	state.SetGlobal("obj", value(state, object))
	if err := state.DoString(script); err != nil {
		return health{}, err
	}
	table, isTable := state.Get(-1).(*lua.LTable)
	if !isTable {
		return health{}, fmt.Errorf("the script returned %s, not a table", state.Get(-1).Type())
	}
	said := health{lua.LVAsString(table.RawGetString("status")), lua.LVAsString(table.RawGetString("message"))}
	switch said.Status {
	case "Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown":
		return said, nil
	}
	return health{}, fmt.Errorf("the script returned status %q", said.Status)
}

func value(state *lua.LState, given interface{}) lua.LValue {
	switch given := given.(type) {
	case bool:
		return lua.LBool(given)
	case int64:
		return lua.LNumber(given)
	case float64:
		return lua.LNumber(given)
	case string:
		return lua.LString(given)
	case []interface{}:
		list := state.CreateTable(len(given), 0)
		for _, each := range given {
			list.Append(value(state, each))
		}
		return list
	case map[string]interface{}:
		table := state.CreateTable(0, len(given))
		for key, each := range given {
			table.RawSetString(key, value(state, each))
		}
		return table
	}
	return lua.LNil
}
