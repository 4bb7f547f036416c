package dispatcher_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/keys"
)

// counter is a workload: each of its instances counts.
type counter struct{}

func (counter) Open(_ context.Context, t dispatcher.Task, r dispatcher.Reporter) (dispatcher.Instance, error) {
	ctx, cancel := context.WithCancel(context.Background())
	c := &counting{at: t.From.At, cancel: cancel}
	c.done.Go(func() { c.work(ctx, r) })
	return c, nil
}

type counting struct {
	at     uint64
	cancel context.CancelFunc
	done   sync.WaitGroup
}

func (c *counting) work(ctx context.Context, r dispatcher.Reporter) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.at++
			r.Report(dispatcher.Status{Checkpoint: dispatcher.At(c.at)})
		case <-ctx.Done():
			return
		}
	}
}

func (c *counting) Close(context.Context) (dispatcher.Position, error) {
	c.Abort()
	return dispatcher.At(c.at), nil
}

func (c *counting) Abort() {
	c.cancel()
	c.done.Wait()
}

func Example() {
	run := func(ctx context.Context, client *clientv3.Client) error {
		layout, err := keys.New("default")
		if err != nil {
			return err
		}
		d, err := dispatcher.New(
			dispatcher.Config{Cluster: layout, Name: "n1", Client: client, DataDir: "/var/lib/count"},
			map[string]dispatcher.Workload{"count": counter{}},
		)
		if err != nil {
			return err
		}
		return d.Run(ctx) // until ctx ends and everything is handed back
	}
	_ = run

	_, err := dispatcher.New(dispatcher.Config{Name: "Node 1"}, nil)
	fmt.Println(err)
	// Output:
	// name "Node 1": does not match [a-z0-9][a-z0-9._-]{0,62}; use lower-case letters, digits, '.', '_' and '-' only
	// dispatcher: Cluster is required
	// dispatcher: Client is required
	// dispatcher: no workload
}
