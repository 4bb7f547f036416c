package client

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/keys"
)

// Finder gives the addresses of maintainers, the one to try first in front. None is an empty list, not an error.
type Finder func(ctx context.Context) ([]string, error)

// findTimeout bounds one look into etcd.
const findTimeout = 3 * time.Second

// FromEtcd finds maintainers where they register themselves.
func FromEtcd(kv clientv3.KV, layout keys.Layout) Finder {
	return func(ctx context.Context) ([]string, error) {
		ctx, cancel := context.WithTimeout(ctx, findTimeout)
		defer cancel()
		resp, err := kv.Txn(ctx).Then(
			clientv3.OpGet(layout.Leader()),
			clientv3.OpGet(layout.Maintainers(), clientv3.WithPrefix()),
		).Commit()
		if err != nil {
			return nil, fault.New(fault.EtcdUnreachable, "etcd does not answer: %v", err).
				Fix("check --etcd and that etcd runs").Because(err)
		}
		var leader record.Leader
		for _, kv := range resp.Responses[0].GetResponseRange().GetKvs() {
			// A record that cannot be read is the maintainers' to report; the others still know who leads.
			leader, _ = record.DecodeLeader(kv.Value)
		}
		var all []record.Maintainer
		for _, kv := range resp.Responses[1].GetResponseRange().GetKvs() {
			if m, err := record.DecodeMaintainer(kv.Value); err == nil {
				all = append(all, m)
			}
		}
		return order(leader, all), nil
	}
}

// order puts the leader first, or the successor of one that resigned; those that are about to stop go last.
func order(leader record.Leader, all []record.Maintainer) []string {
	var first, middle, last []string
	if leader.Address != "" && !leader.Resigned {
		first = append(first, leader.Address)
	}
	for _, m := range all {
		switch {
		case m.Address == "" || m.Address == leader.Address && !leader.Resigned:
		case leader.Resigned && m.Name == leader.Successor:
			first = append(first, m.Address)
		case m.Draining:
			last = append(last, m.Address)
		default:
			middle = append(middle, m.Address)
		}
	}
	return append(append(first, middle...), last...)
}
