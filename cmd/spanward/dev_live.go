package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/client"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/span"
)

// devKeyspace is mirrored from source to dest.
const devKeyspace = "demo"

// devRanges cover everything at the source, with borders among the keys of the traffic.
var devRanges = []string{":item/4", "item/4:item/8", "item/8:item/c", "item/c:"}

const (
	// devKeys is how many keys the traffic knows, and devEvery how often it changes one.
	devKeys  = 1 << 12
	devEvery = 100 * time.Millisecond
	// devCall bounds one call of dev itself.
	devCall = 5 * time.Second
	// devLook is how often dev looks at the cluster, and devSettled how many looks a state must last to be told.
	devLook    = 250 * time.Millisecond
	devSettled = 2
)

// connection is like that of any command, with the address that dev knows.
func (d *devCluster) connection(ctx context.Context) (*cluster, error) {
	layout, err := keys.New(d.app.cluster.name)
	if err != nil {
		return nil, err
	}
	etcd, err := d.etcd(ctx, devControl)
	if err != nil {
		return nil, err
	}
	c, err := client.New(client.Config{Cluster: d.app.cluster.name, Find: client.FromEtcd(etcd, layout)})
	if err != nil {
		_ = etcd.Close()
		return nil, err
	}
	return &cluster{Client: c, etcd: etcd, layout: layout}, nil
}

func (d *devCluster) etcd(ctx context.Context, name string) (*clientv3.Client, error) {
	return (&etcdFlags{endpoints: d.urls[name]}).connect(ctx, zap.NewNop())
}

// mirror creates the keyspace, or corrects one whose etcds have moved since the last start.
func (d *devCluster) mirror(ctx context.Context) error {
	c, err := d.connection(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	set := map[string]string{"source": d.urls[devSource], "dest": d.urls[devDest]}
	k, err := c.keyspace(ctx, devKeyspace)
	switch {
	case fault.Is(err, fault.UnknownKeyspace):
		_, err = c.Control().CreateKeyspace(ctx, &controlv1.CreateKeyspaceRequest{
			Name: devKeyspace, Workload: "mirror", Ranges: devWireRanges(), Set: set,
		})
	case err == nil && !maps.Equal(k.GetSet(), set):
		_, err = c.Control().SetKeyspace(ctx, &controlv1.SetKeyspaceRequest{Name: devKeyspace, Set: set})
	}
	if err != nil && ctx.Err() == nil {
		d.app.note("the mirror %s could not be set up: %s", devKeyspace, err)
	}
	return nil
}

func devWireRanges() []*controlv1.Range {
	var out []*controlv1.Range
	for _, text := range devRanges {
		r, err := span.ParseRange(text)
		if err != nil {
			panic(err) // a constant
		}
		out = append(out, wireRange(r))
	}
	return out
}

// traffic changes the source a little, all the time. What fails because the source was killed is left out.
func (d *devCluster) traffic(ctx context.Context) error {
	c, err := d.etcd(ctx, devSource)
	if err != nil {
		return err
	}
	defer c.Close()
	tick := time.NewTicker(devEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		call, cancel := context.WithTimeout(ctx, devCall)
		_, _ = c.Txn(call).Then(devChange(n)...).Commit()
		cancel()
	}
}

// devChange is one transaction of the traffic: mostly a put, sometimes a few together, sometimes a delete.
func devChange(n int) []clientv3.Op {
	switch n % 10 {
	case 9:
		return []clientv3.Op{clientv3.OpDelete(devKey())}
	case 5:
		// Distinct keys: etcd takes each only once in a transaction.
		first := rand.IntN(devKeys)
		return []clientv3.Op{
			clientv3.OpPut(devKeyOf(first), devValue(n)), clientv3.OpPut(devKeyOf(first+1), devValue(n)), clientv3.OpPut(devKeyOf(first+2), devValue(n)),
		}
	}
	return []clientv3.Op{clientv3.OpPut(devKey(), devValue(n))}
}

func devKey() string { return devKeyOf(rand.IntN(devKeys)) }

func devKeyOf(n int) string { return fmt.Sprintf("item/%03x", n%devKeys) }

func devValue(n int) string {
	return fmt.Sprintf("change %d at %s", n, time.Now().UTC().Format(time.RFC3339Nano))
}

// timed notes what has happened just now.
func (a *app) timed(format string, args ...any) {
	a.note("%s  %s", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// watch tells changes of state, and nothing as long as there are none.
func (d *devCluster) watch(ctx context.Context) error {
	c, err := d.connection(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	var told teller
	for {
		call, cancel := context.WithTimeout(ctx, devCall)
		resp, err := c.Control().GetStatus(call, &controlv1.GetStatusRequest{})
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		for _, line := range told.changes(headlines(resp, err)) {
			d.app.timed("%s", line)
		}
		select {
		case <-time.After(devLook):
		case <-ctx.Done():
			return nil
		}
	}
}

// headlines are what a person wants to know, by subject.
func headlines(resp *controlv1.GetStatusResponse, err error) map[string]string {
	if err != nil {
		f := explained(err)
		return map[string]string{"leader": "the cluster does not answer: " + f.Message}
	}
	s := output.FromStatus(resp)
	out := map[string]string{"leader": "nobody leads"}
	if s.Leader != "" {
		out["leader"] = fmt.Sprintf("%s leads", s.Leader)
		if s.Term != nil {
			out["leader"] += fmt.Sprintf(", term %d", *s.Term)
		}
	}
	out["nodes"] = "nodes " + s.Nodes.String()
	for _, k := range s.Keyspaces {
		out["keyspace "+k.Name] = fmt.Sprintf("keyspace %s %s, spans %s", k.Name, k.State, k.Spans)
	}
	for _, p := range s.Problems {
		about := strings.Join(strings.Fields(fmt.Sprint(p.Kind, " ", p.Keyspace, " ", p.Span, " ", p.Node)), " ")
		out["problem "+about] = fmt.Sprintf("problem: %s: %s", about, p.Message)
	}
	return out
}

// teller tells each state once, when it has lasted: what comes and goes within half a second is not worth a line.
type teller struct {
	told, seen map[string]string
	lasted     map[string]int
}

func (t *teller) changes(now map[string]string) []string {
	if t.told == nil {
		t.told, t.lasted = map[string]string{}, map[string]int{}
	}
	var lines []string
	for _, subject := range subjects(now, t.told) {
		state := now[subject]
		if state != t.seen[subject] {
			t.lasted[subject] = 0
		}
		t.lasted[subject]++
		if state == t.told[subject] || t.lasted[subject] < devSettled {
			continue
		}
		if state == "" {
			lines = append(lines, "no more: "+t.told[subject])
			delete(t.told, subject)
			delete(t.lasted, subject)
			continue
		}
		t.told[subject] = state
		lines = append(lines, state)
	}
	t.seen = now
	return lines
}

// subjects of both maps, sorted. While the cluster does not answer nothing is known of the others.
func subjects(now, told map[string]string) []string {
	all := maps.Clone(now)
	if _, answers := now["nodes"]; answers {
		maps.Copy(all, told)
	}
	return slices.Sorted(maps.Keys(all))
}
