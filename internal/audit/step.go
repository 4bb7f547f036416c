package audit

import (
	"fmt"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/keys"
)

// edit is one key before and after a revision; nil is no such key.
type edit[T any] struct{ before, after *rec[T] }

// judged says that the change can be judged: nothing about it is unreadable.
func (e edit[T]) judged() bool {
	return (e.before == nil || e.before.known) && (e.after == nil || !e.after.bad)
}

// created says that the key came with this revision and can be read.
func (e edit[T]) created() bool { return e.before == nil && e.after.good() }

// step is one revision: the state before it, what it changes, and what was found wrong with it.
type step struct {
	*state
	a        *Auditor
	revision int64
	found    []Violation

	leaders     map[single]edit[record.Leader]
	clusters    map[single]edit[record.Cluster]
	nodesEd     map[string]edit[record.Node]
	keyspacesEd map[string]edit[record.Keyspace]
	spansEd     map[ref]edit[record.Span]
	claimsEd    map[ref]edit[record.Claim]
	historiesEd map[opRef]edit[record.History]
	progressEd  map[bucketRef]edit[record.Progress]
	// moved are the progress entries that changed: before and after.
	moved map[ref][2]record.Position
}

// read decodes the changes of one revision. The state is not touched.
func (a *Auditor) read(revision int64, changes []Change) *step {
	s := &step{
		state: a.now, a: a, revision: revision,
		leaders: map[single]edit[record.Leader]{}, clusters: map[single]edit[record.Cluster]{},
		nodesEd: map[string]edit[record.Node]{}, keyspacesEd: map[string]edit[record.Keyspace]{},
		spansEd: map[ref]edit[record.Span]{}, claimsEd: map[ref]edit[record.Claim]{},
		historiesEd: map[opRef]edit[record.History]{}, progressEd: map[bucketRef]edit[record.Progress]{},
		moved: map[ref][2]record.Position{},
	}
	for _, c := range changes {
		s.take(c)
	}
	for b, e := range s.progressEd {
		s.positions(b.keyspace, e)
	}
	return s
}

func (s *step) take(c Change) {
	delete(s.a.problems, c.Key)
	k, err := s.a.layout.Parse(c.Key)
	if err == nil {
		if s.a.only != "" && k.Keyspace != "" && k.Keyspace != s.a.only {
			return
		}
		err = s.takeRecord(k, c)
	}
	if err != nil && !c.Deleted {
		s.a.problems[c.Key] = Problem{Key: c.Key, Keyspace: k.Keyspace, Span: string(k.Span), Revision: s.revision, Message: err.Error()}
	}
}

func (s *step) takeRecord(k keys.Parsed, c Change) error {
	at := ref{k.Keyspace, k.Span}
	switch k.Kind {
	case keys.Leader:
		return take(s.leader, s.leaders, single{}, c, record.DecodeLeader)
	case keys.Cluster:
		return take(s.cluster, s.clusters, single{}, c, record.DecodeCluster)
	case keys.Node:
		return take(s.nodes, s.nodesEd, k.Name, c, record.DecodeNode)
	case keys.Keyspace:
		return take(s.keyspaces, s.keyspacesEd, k.Keyspace, c, record.DecodeKeyspace)
	case keys.Span:
		return take(s.spans, s.spansEd, at, c, record.DecodeSpan)
	case keys.Operator:
		return take(s.claims, s.claimsEd, at, c, record.DecodeClaim)
	case keys.History:
		return take(s.histories, s.historiesEd, opRef{k.Keyspace, k.Operator}, c, record.DecodeHistory)
	case keys.Progress:
		return take(s.progress, s.progressEd, bucketRef{k.Keyspace, k.Bucket}, c, record.DecodeProgress)
	case keys.Maintainer:
		return readable(c, record.DecodeMaintainer)
	case keys.Config:
		return readable(c, record.DecodeConfig)
	case keys.NodeConfig:
		return readable(c, record.DecodeNodeConfig)
	}
	return nil
}

// take decodes one change and notes it.
func take[K comparable, T any](now map[K]*rec[T], edits map[K]edit[T], k K, c Change, decode func([]byte) (T, error)) error {
	after, err := revise(now[k], c, decode)
	edits[k] = edit[T]{now[k], after}
	return err
}

// readable looks at records that only have to be understood.
func readable[T any](c Change, decode func([]byte) (T, error)) error {
	if c.Deleted {
		return nil
	}
	_, err := decode(c.Value)
	return err
}

// positions notes which progress entries a rewritten bucket changes.
func (s *step) positions(keyspace string, e edit[record.Progress]) {
	if !e.judged() {
		return
	}
	was, is := record.Progress{}, record.Progress{}
	if e.before != nil {
		was = e.before.value
	}
	if e.after != nil {
		is = e.after.value
	}
	for id := range was {
		if at := (ref{keyspace, id}); s.moved[at] == ([2]record.Position{}) {
			s.moved[at] = [2]record.Position{s.entries[at], {}}
		}
	}
	for id, p := range is {
		at := ref{keyspace, id}
		s.moved[at] = [2]record.Position{s.entries[at], record.At(p)}
	}
}

// after is a record as this revision leaves it.
func after[K comparable, T any](now map[K]*rec[T], edits map[K]edit[T], k K) *rec[T] {
	if e, ok := edits[k]; ok {
		return e.after
	}
	return now[k]
}

func (s *step) violate(invariant string, at ref, format string, args ...any) {
	s.found = append(s.found, Violation{
		Invariant: invariant, Keyspace: at.keyspace, Span: string(at.id), Revision: s.revision,
		Message: fmt.Sprintf(format, args...),
	})
}

// transitions judges what changes, with the state as it was before.
func (s *step) transitions() {
	s.coverage()
	s.owners()
	s.claimed()
	s.operators()
	s.monotone()
	s.reused()
}

// standing judges what stands after the revision, around what it touched.
func (s *step) standing() {
	s.overlaps()
	s.holders()
	s.keyspaceHolds()
	s.members()
}
