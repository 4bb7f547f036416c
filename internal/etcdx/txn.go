package etcdx

import (
	"context"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/spanward/spanward/internal/txn"
)

// Run sends a batch once, as one etcd transaction: the outer compares guard it as a whole, and each part is a nested
// transaction with its own compares. lease is the sender's own; leased puts hang on it.
//
// There is one result for each part, in order. With an error there is none; the error wraps ErrUnknown unless etcd
// has refused the batch before it looked at it. See Settle for what to do then.
//
// All compares see the state before the batch. What a refusal reads is younger: it may show what other parts of the
// same batch have just written.
func Run(ctx context.Context, kv clientv3.KV, lease clientv3.LeaseID, b txn.Batch) ([]txn.Result, error) {
	parts := make([]clientv3.Op, len(b.Parts))
	for i, p := range b.Parts {
		parts[i] = clientv3.OpTxn(compares(p.If), writes(p.Then, lease), gets(explaining(p)))
	}
	outer := comparedKeys(b.Outer)
	resp, err := kv.Txn(ctx).If(compares(b.Outer)...).Then(parts...).Else(gets(outer)...).Commit()
	if err != nil {
		return nil, fmt.Errorf("transaction of %d parts: %w", len(b.Parts), classified(err))
	}
	if !resp.Succeeded {
		return fenced(b, found(resp.Responses, resp.Header.Revision), resp.Header.Revision), nil
	}
	return results(resp), nil
}

func results(resp *clientv3.TxnResponse) []txn.Result {
	out := make([]txn.Result, len(resp.Responses))
	for i, r := range resp.Responses {
		out[i].Revision = resp.Header.Revision
		if part := r.GetResponseTxn(); part.GetSucceeded() {
			out[i].Outcome = txn.Done
		} else {
			out[i].Found = found(part.GetResponses(), resp.Header.Revision)
		}
	}
	return out
}

func fenced(b txn.Batch, f txn.Found, revision int64) []txn.Result {
	out := make([]txn.Result, len(b.Parts))
	for i := range out {
		out[i] = txn.Result{Outcome: txn.Fenced, Revision: revision, Found: f}
	}
	return out
}

func compares(list []txn.Cmp) []clientv3.Cmp {
	out := make([]clientv3.Cmp, len(list))
	for i, c := range list {
		if c.By == txn.ByCreate {
			out[i] = clientv3.Compare(clientv3.CreateRevision(c.Key), "=", c.Rev)
		} else {
			out[i] = clientv3.Compare(clientv3.ModRevision(c.Key), "=", c.Rev)
		}
	}
	return out
}

func writes(list []txn.Op, lease clientv3.LeaseID) []clientv3.Op {
	out := make([]clientv3.Op, len(list))
	for i, op := range list {
		switch {
		case op.Delete:
			out[i] = clientv3.OpDelete(op.Key)
		case op.Leased:
			out[i] = clientv3.OpPut(op.Key, string(op.Value), clientv3.WithLease(lease))
		default:
			out[i] = clientv3.OpPut(op.Key, string(op.Value))
		}
	}
	return out
}

func gets(keys []string) []clientv3.Op {
	out := make([]clientv3.Op, len(keys))
	for i, key := range keys {
		out[i] = clientv3.OpGet(key)
	}
	return out
}

// explaining are the keys that a refusal of p reads, each once: those compared, then the witnesses.
func explaining(p txn.Part) []string {
	return distinct(append(comparedKeys(p.If), p.Witness...))
}

func comparedKeys(list []txn.Cmp) []string {
	keys := make([]string, len(list))
	for i, c := range list {
		keys[i] = c.Key
	}
	return distinct(keys)
}

// distinct drops repetitions in place. The lists are a handful long.
func distinct(keys []string) []string {
	out := keys[:0]
next:
	for _, key := range keys {
		for _, have := range out {
			if have == key {
				continue next
			}
		}
		out = append(out, key)
	}
	return out
}

// found collects what the gets of an answer have read. Keys without a value are missing.
func found(list []*pb.ResponseOp, revision int64) txn.Found {
	f := make(txn.Found, len(list))
	for _, r := range list {
		for _, kv := range r.GetResponseRange().GetKvs() {
			f[string(kv.Key)] = txn.KV{
				Value: kv.Value, Mod: kv.ModRevision, Create: kv.CreateRevision, Lease: kv.Lease,
				Version: kv.Version, Revision: revision,
			}
		}
	}
	return f
}
