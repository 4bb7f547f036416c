package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/internal/output"
	"github.com/spanward/spanward/maintainer"
)

// numbers asks a role how it is whenever somebody scrapes: nothing is counted twice, and a process that nobody scrapes
// spends nothing.
type numbers struct {
	metrics []metric
	gather  func(put)
}

// metric is one name of /metrics. docs/metrics.md has them all.
type metric struct {
	*prometheus.Desc
	kind prometheus.ValueType
}

// put adds one value.
type put func(m metric, value float64, labels ...string)

func (n *numbers) add(kind prometheus.ValueType, name, help string, labels ...string) metric {
	m := metric{prometheus.NewDesc("spanward_"+name, help, labels, nil), kind}
	n.metrics = append(n.metrics, m)
	return m
}

func (n *numbers) gauge(name, help string, labels ...string) metric {
	return n.add(prometheus.GaugeValue, name, help, labels...)
}

func (n *numbers) counter(name, help string, labels ...string) metric {
	return n.add(prometheus.CounterValue, name, help, labels...)
}

// Describe is part of prometheus.Collector.
func (n *numbers) Describe(out chan<- *prometheus.Desc) {
	for _, m := range n.metrics {
		out <- m.Desc
	}
}

// Collect is part of prometheus.Collector.
func (n *numbers) Collect(out chan<- prometheus.Metric) {
	n.gather(func(m metric, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(m.Desc, m.kind, value, labels...)
	})
}

// shared are the numbers of both roles.
type shared struct{ sessions, mayAct, txns, changes, mutations metric }

func (n *numbers) shared() shared {
	return shared{
		sessions:  n.counter("sessions_total", "Sessions with etcd that this process has begun."),
		mayAct:    n.gauge("may_act_seconds", "What is left of the right to act if etcd answers no renewal any more; 0 without a session."),
		txns:      n.counter("etcd_transactions_total", "Transactions that etcd has answered definitely, repetitions not counted."),
		changes:   n.counter("etcd_changes_total", "Changes that those transactions carried out, one for each span or record."),
		mutations: n.counter("etcd_mutations_total", "Keys that those changes put or deleted."),
	}
}

// maintainerStats is what a maintainer is asked.
type maintainerStats interface {
	Stats() maintainer.Stats
	Overview() *overview
	Scheduling() *maintainer.Scheduling
}

func maintainerNumbers(m maintainerStats) prometheus.Collector {
	n := &numbers{}
	common, own, cluster, planners := n.shared(), n.maintainer(), n.cluster(), n.scheduling()
	n.gather = func(put put) {
		s := m.Stats()
		put(common.sessions, float64(s.Sessions))
		put(common.mayAct, s.MayAct.Seconds())
		put(common.txns, float64(s.Txns))
		put(common.changes, float64(s.Parts))
		put(common.mutations, float64(s.Mutations))
		own.gather(put, s)
		if o := m.Overview(); o != nil {
			cluster.gather(put, output.FromStatus(o))
		}
		if s := m.Scheduling(); s != nil {
			planners.gather(put, s)
		}
	}
	return n
}

// ofMaintainer are the numbers of one maintainer.
type ofMaintainer struct {
	leader, term, terms, takeover           metric
	revision, heard, lists, watches         metric
	asks, asksRepeated, asksRefused, askMsg metric
	late, aborts, evictions                 metric
}

func (n *numbers) maintainer() ofMaintainer {
	return ofMaintainer{
		leader:       n.gauge("leader", "1 if this process leads, else 0. The sum over all maintainers is 1, but for moments."),
		term:         n.gauge("term", "Term of the leader that this process knows; 0 if it knows none."),
		terms:        n.counter("terms_total", "Terms that this process has won."),
		takeover:     n.gauge("takeover_seconds", "How long the last take-over of this process took, from winning the seat to each step.", "step"),
		revision:     n.gauge("view_revision", "Revision of etcd up to which this process knows everything; 0 before the first listing."),
		heard:        n.gauge("view_silence_seconds", "How long etcd has told the view nothing, changes or progress."),
		lists:        n.counter("view_lists_total", "Listings of everything: one at the start, and one after each compaction that the view was behind."),
		watches:      n.counter("view_watches_total", "Watches that the view has begun."),
		asks:         n.counter("asks_total", "Asks sent to dispatchers: open or close one span."),
		asksRepeated: n.counter("asks_repeated_total", "Asks sent again because nobody had answered."),
		asksRefused:  n.counter("asks_refused_total", "Asks that a dispatcher refused, or that etcd refused it."),
		askMsg:       n.counter("ask_messages_total", "Messages that carried asks."),
		late:         n.counter("late_stages_total", "Openings and closings that have taken longer than they may, or that no node has begun in that time."),
		aborts:       n.counter("aborts_total", "Asks sent to give a late opening up."),
		evictions:    n.counter("evictions_total", "Leases of evicted sessions that this process has revoked."),
	}
}

func (m ofMaintainer) gather(put put, s maintainer.Stats) {
	put(m.leader, oneIf(s.Leading))
	put(m.term, float64(s.Term))
	put(m.terms, float64(s.Terms))
	if last := len(s.Takeovers) - 1; last >= 0 {
		put(m.takeover, s.Takeovers[last].View.Seconds(), "view")
		put(m.takeover, s.Takeovers[last].FirstWrite.Seconds(), "first_write")
	}
	put(m.revision, float64(s.Revision))
	if !s.View.Heard.IsZero() {
		put(m.heard, time.Since(s.View.Heard).Seconds())
	}
	put(m.lists, float64(s.View.Lists))
	put(m.watches, float64(s.View.Watches))
	put(m.asks, float64(s.Asks))
	put(m.asksRepeated, float64(s.Repeated))
	put(m.asksRefused, float64(s.Refused))
	put(m.askMsg, float64(s.Messages))
	put(m.late, float64(s.Late))
	put(m.aborts, float64(s.Aborts))
	put(m.evictions, float64(s.Evictions))
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func dispatcherNumbers(d interface{ Stats() dispatcher.Stats }) prometheus.Collector {
	n := &numbers{}
	common := n.shared()
	session := n.gauge("dispatcher_session", "The session that lives, the create revision of the node's key; 0 without one.")
	spans := n.gauge("dispatcher_spans", "Spans that this process works on, by what it does with them: opening, running, closing.", "phase")
	behind := n.gauge("dispatcher_lag_seconds", "The greatest lag of this process's spans of a keyspace, of those that tell theirs.", "keyspace")
	n.gather = func(put put) {
		s := d.Stats()
		put(common.sessions, float64(s.Sessions))
		put(common.mayAct, s.MayAct.Seconds())
		put(common.txns, float64(s.Batches))
		put(common.changes, float64(s.Parts))
		put(common.mutations, float64(s.Mutations))
		put(session, float64(s.Session))
		put(spans, float64(s.Opening), "opening")
		put(spans, float64(s.Running), "running")
		put(spans, float64(s.Closing), "closing")
		for ks, lag := range s.Lag {
			put(behind, lag.Seconds(), ks)
		}
	}
	return n
}
