package main

import (
	"context"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
	"github.com/spanward/spanward/keys"
)

// planFlags are what the plan supposes of nodes.
type planFlags struct{ drain, add, remove []string }

func (a *app) newPlan() *cobra.Command {
	var f planFlags
	cmd := &cobra.Command{
		Use:   "plan [--drain NODE]… [--add-node NAME[,LABEL=VALUE]…]… [--remove-node NAME]…",
		Short: "show what the scheduler would do, and change nothing",
		Long: `Show what the scheduler would do, and change nothing: the operators that would follow with the reason of each, what every
node carries before and after, and what can go nowhere and why. All is counted as if what is in flight were done, and without the
limits on how much may be in flight at a time, so it is where the cluster would come to rest.

The flags suppose something about nodes. What they need not name are spans that nobody owns: those are placed at once.

  --drain NODE        it is drained
  --remove-node NODE  it is lost: what it has goes where failover would put it
  --add-node NAME     there is one more node. What it would be started with follows, separated by commas: capacity=100,
                      workload=mirror (all that other nodes run, if none is named), weight=2 (it takes twice as much), and
                      labels: zone=a

The table shows the first 50 of each; -o wide shows all. With -o json the plan can be kept in a file, and carried out with
` + "`spanward plan apply`" + `.`,
		Example: `  spanward plan
  spanward plan --drain n1
  spanward plan --add-node n9,zone=b,capacity=100 --remove-node n1 -o wide
  spanward plan -o json > plan.json`,
		Args:              exactly(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: a.online(func(ctx context.Context, c *cluster, _ []string) error {
			req, err := f.request()
			if err != nil {
				return err
			}
			req.Cluster = a.cluster.name
			plan, err := c.Plan(ctx, req)
			if err != nil {
				return err
			}
			return a.printer().Plan(output.FromPlan(req, plan))
		}),
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.drain, "drain", nil, "suppose that this node is drained; may be repeated")
	flags.StringArrayVar(&f.add, "add-node", nil, "suppose that there is one more node; may be repeated")
	flags.StringArrayVar(&f.remove, "remove-node", nil, "suppose that this node is lost; may be repeated")
	_ = cmd.RegisterFlagCompletionFunc("drain", a.completeFlag(a.nodeNames))
	_ = cmd.RegisterFlagCompletionFunc("remove-node", a.completeFlag(a.nodeNames))
	_ = cmd.RegisterFlagCompletionFunc("add-node", cobra.NoFileCompletions)
	cmd.AddCommand(a.newPlanApply())
	return cmd
}

func (f *planFlags) request() (*controlv1.PlanRequest, error) {
	req := &controlv1.PlanRequest{Drain: f.drain, RemoveNode: f.remove}
	named := map[string]bool{}
	once := func(flag, name string) error {
		if err := keys.CheckName(flag, name); err != nil {
			return err
		}
		if named[name] {
			return fault.New(fault.InvalidArgument, "is named twice").On(flag, name).Fix("suppose one thing of each node")
		}
		named[name] = true
		return nil
	}
	for _, name := range f.drain {
		if err := once("--drain", name); err != nil {
			return nil, err
		}
	}
	for _, name := range f.remove {
		if err := once("--remove-node", name); err != nil {
			return nil, err
		}
	}
	for _, text := range f.add {
		n, err := parseNewNode(text)
		if err != nil {
			return nil, err
		}
		if err := once("--add-node", n.GetName()); err != nil {
			return nil, err
		}
		req.AddNode = append(req.AddNode, n)
	}
	return req, nil
}

// parseNewNode reads NAME,zone=a,capacity=100,weight=2.
func parseNewNode(text string) (*controlv1.PlanRequest_AddedNode, error) {
	bad := func(format string, args ...any) *fault.Error {
		return fault.New(fault.InvalidArgument, format, args...).On("--add-node", text).
			Fix("write NAME or for example NAME,zone=a,capacity=100,weight=2")
	}
	parts := strings.Split(text, ",")
	out := &controlv1.PlanRequest_AddedNode{Name: parts[0], Labels: map[string]string{}}
	seen := map[string]bool{}
	for _, pair := range parts[1:] {
		k, v, ok := strings.Cut(pair, "=")
		if !ok || k == "" || v == "" {
			return nil, bad("has %q, which is not of the form k=v", pair)
		}
		if seen[k] && k != "workload" {
			return nil, bad("sets %s a second time", k)
		}
		seen[k] = true
		var err error
		switch k {
		case "capacity":
			if out.Capacity, err = strconv.ParseInt(v, 10, 64); err != nil || out.Capacity < 0 {
				return nil, bad("has capacity %q, which is no number of spans", v)
			}
		case "weight":
			if out.Weight, err = strconv.ParseFloat(v, 64); err != nil || !(out.Weight > 0) || math.IsInf(out.Weight, 0) {
				return nil, bad("has weight %q, which is no number above 0", v)
			}
		case "workload":
			out.Workloads = append(out.Workloads, v)
		default:
			out.Labels[k] = v
		}
	}
	return out, nil
}
