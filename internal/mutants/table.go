package main

import "slices"

// table is every mutant, by where its rule is kept. Names say what the mutant does.
//
// Tests of rapid have no place here: what they find is random, they shrink it for half a minute, and leave files.
func table() []mutant {
	return slices.Concat(fencing, leading, seeing, writing, acting, holding, mirroring, scheduling)
}

// settleEnd is the rest of a function that a mutant adds another one after.
const settleEnd = `	for _, r := range list {
		if l.d.hit(ctx, r.points.after) != nil {
			return a, false
		}
	}
	l.d.stats.sent(b, a.results)
	return a, ctx.Err() == nil
}`

// fencing are the compares around whatever leaders and dispatchers send, and how lost answers are settled.
var fencing = []mutant{
	{
		name: "leader writes not under its term",
		rule: "every write of a leader compares its term",
		file: "maintainer/takeover.go",
		old:  "outer := []txn.Cmp{operator.Leading(m.cfg.Layout, t.number)}\n",
		new:  "outer := []txn.Cmp{operator.Leading(m.cfg.Layout, t.number)}[:0]\n",
		test: "TestNothingIsWrittenAfterItsTerm",
	},
	{
		name: "claims not under the term that asked",
		rule: "every claim compares the term of the leader that asked",
		file: "dispatcher/batch.go",
		old:  "if term != 0 {\n",
		new:  "if term < 0 {\n",
		test: "TestStaleAsks",
	},
	{
		name: "term compared by value",
		rule: "a term is a revision: the same process elected again writes the same value",
		file: "election/seat.go",
		old:  "{ return unchanged(s.candidate.cfg.Key, s.term) }",
		new:  "{ return clientv3.Compare(clientv3.Value(s.candidate.cfg.Key), \"=\", s.candidate.value) }",
		test: "TestEveryElectionIsANewTerm",
	},
	{
		name: "dispatcher acts without its node key",
		rule: "every transaction of a dispatcher compares its own node key",
		file: "dispatcher/batch.go",
		old:  "outer := []txn.Cmp{operator.Acting(l.env.Layout, l.env.Me)}\n",
		new:  "outer := []txn.Cmp{operator.Acting(l.env.Layout, l.env.Me)}[:0]\n",
		test: "TestEverythingIsSentUnderTheNodeKey",
	},
	{
		name: "leased put without its lease",
		rule: "what is put on a lease goes with its session",
		file: "internal/etcdx/txn.go",
		old:  ", clientv3.WithLease(lease))",
		new:  ")",
		pkg:  "dispatcher",
		test: "TestNewSessionAfterALoss/lease_revoked",
	},
	{
		name: "claim on the leader's lease",
		rule: "a claim goes with the session that acts, and not with the leader, which it has to outlive",
		file: "dispatcher/batch.go",
		old:  "a.results, a.err = etcdx.Settle(ctx, l.d.cfg.Client, l.me.lease.ID(), b, etcdx.Options{})\n" + settleEnd,
		new: "a.results, a.err = etcdx.Settle(ctx, l.d.cfg.Client, leadersLease(ctx, l, l.me.lease.ID()), b, etcdx.Options{})\n" + settleEnd + `

func leadersLease[ID ~int64](ctx context.Context, l *loop, own ID) ID {
	if r, err := l.d.cfg.Client.Get(ctx, l.env.Layout.Leader()); err == nil && len(r.Kvs) > 0 {
		return ID(r.Kvs[0].Lease)
	}
	return own
}`,
		pkg:  "integration/world",
		test: "TestEveryFault/move/maintainer/move/ask/after_hitter",
	},
	{
		name: "end of a session written without its lease",
		rule: "a put over a leased key names the lease again, or it stays for ever",
		file: "dispatcher/life.go",
		old:  "Then: []txn.Op{txn.PutLeased(key, record.EncodeNode(s.node))},",
		new:  "Then: []txn.Op{txn.Put(key, record.EncodeNode(s.node))},",
		test: "TestCleanStopHandsBack",
	},
	{
		name: "end of another's session drops its lease",
		rule: "a put over another's leased key leaves it on its lease",
		file: "dispatcher/session.go",
		old:  ", clientv3.WithIgnoreLease())",
		new:  ")",
		test: "TestRestartAfterACrash/same_data_directory",
		// The name is taken over again and again.
		hangs: hangsInBubble,
	},
	{
		name: "lost answer taken for a failure",
		rule: "after an error of a write the same transaction is sent until the answer is definite",
		file: "internal/etcdx/txn_settle.go",
		old:  "if verdictOf(err) == never {",
		new:  "if verdictOf(err) != never {",
		test: "TestALostAnswerIsRecognised",
	},
	{
		name: "own trace not recognised",
		rule: "a compare that fails after a lost answer may be the trace of that very sending",
		file: "internal/etcdx/txn_settle.go",
		old:  "if p.Mine == nil || !p.Mine(f) {",
		new:  "if true || p.Mine == nil || !p.Mine(f) {",
		test: "TestALostAnswerIsRecognised",
	},
	{
		name: "acts after its right is over",
		rule: "nothing is sent once the right to act is over, whatever the clock of the lease says",
		file: "dispatcher/batch.go",
		old:  "if !l.me.mayAct() {",
		new:  "if false && !l.me.mayAct() {",
		test: "TestNothingBeginsAfterASuspend",
	},
}

// leading are rules of terms, sessions and requests.
var leading = []mutant{
	{
		name: "seat taken without a compare",
		rule: "the leader key is taken by a compare of what was there",
		file: "election/campaign.go",
		old:  "If(unchanged(c.cfg.Key, f.cur.Term)).",
		new:  "If().",
		test: "TestStoppedLeaderWakesUp",
	},
	{
		name: "seat resigned before the work has ended",
		rule: "nothing of a term outlives it",
		file: "election/seat.go",
		old:  "err := g.Wait()\n\tlast, cancel",
		new:  "<-scope.Done()\n\tvar err error\n\tlast, cancel",
		test: "TestHoldResignsAfterTheWork",
	},
	{
		name: "leader key on no lease",
		rule: "the leader key goes with its session",
		file: "election/campaign.go",
		old:  ", clientv3.WithLease(c.cfg.Session.ID()))",
		new:  ")",
		test: "TestDeadLeaderIsReplacedWithinTheTTL",
	},
	{
		name: "leader key of an old session",
		rule: "only a key on the present session is one's own",
		file: "election/candidate.go",
		old:  " && h.lease == c.cfg.Session.ID()",
		new:  "",
		test: "TestKeyOfAnOldSessionIsNotTakenForOnesOwn",
	},
	{
		name: "renewed from the answer on",
		rule: "the right to act counts from when a renewal was sent, not from when it was answered",
		file: "leases/renew.go",
		old:  "s.extend(sent, ",
		new:  "s.extend(max(sent, s.cfg.Clock()), ",
		test: "TestSendTimeCountsNotReceiveTime",
	},
	{
		name: "late renewal revives a session",
		rule: "a right that is over stays over",
		file: "leases/session.go",
		old:  "if s.remaining() == 0 {\n\t\treturn false",
		new:  "if false {\n\t\treturn false",
		test: "TestLateAnswerRevivesNothing",
	},
	{
		name: "right to act as long as the lease",
		rule: "the right to act ends a margin before the lease",
		file: "leases/session.go",
		old:  "sent, sent+ttl-s.cfg.Margin",
		new:  "sent, sent+ttl+s.cfg.Margin",
		test: "TestRightEndsBeforeTheLease",
	},
	{
		name: "request id ignored",
		rule: "a request that was carried out is not carried out again",
		file: "maintainer/accept.go",
		old:  "prior := s.Request(who.id)\n",
		new:  "prior := s.Request(\"another\" + who.id)\n",
		test: "TestARequestIsCarriedOutOnceWhoeverLeads",
	},
	{
		name: "request id with another body",
		rule: "the same request id with another body is a conflict",
		file: "maintainer/accept.go",
		old:  "if prior == nil || slices.Equal(prior.Body, who.body) {",
		new:  "if prior == nil || !slices.Equal(prior.Body, nil) {",
		test: "TestBadInputChangesNothing",
	},
	{
		name: "settings overwritten",
		rule: "settings are rewritten only as they were read",
		file: "operator/leader_node.go",
		old:  "If:   []txn.Cmp{txn.At(key, mod)},\n",
		new:  "If:   []txn.Cmp{txn.At(key, mod)}[:0],\n",
		pkg:  "maintainer",
		test: "TestASetIsPlannedAnewWhenTheRecordMoves",
	},
	{
		name: "settings changed for the next leader only",
		rule: "a setting counts at once, for what is under way",
		file: "maintainer/change.go",
		old:  "if d.Config {",
		new:  "if false {",
		test: "TestADeadlineChangedOnlineTakesEffect",
	},
	{
		name: "others of a superseded merge forgotten",
		rule: "superseding a merge rolls all its members back together",
		file: "maintainer/accept_supersede.go",
		old:  "members = append(members, peersOf(",
		new:  "_ = append(members, peersOf(",
		test: "TestARemoveSupersedes",
	},
	{
		name: "leader never streamed to deposed",
		rule: "a standby deposes only an instance that it has streamed with in this term",
		file: "maintainer/standby.go",
		old:  "if r.GetInstance() == instance && r.GetTerm() == number {",
		new:  "if r.GetInstance() == instance || true {",
		test: "TestOnlyTheLeaderOfTheTermAnswers",
	},
}

// seeing are rules of the view and of what is read out of reports.
var seeing = []mutant{
	{
		name: "watch from now",
		rule: "list at a revision, watch from the next one",
		file: "view/follow.go",
		old:  "err := v.watch(ctx, v.Revision()+1)",
		new:  "err := v.watch(ctx, 0)",
		test: "TestCompactionBesideTheListing",
	},
	{
		name: "watch from one later",
		rule: "list at a revision, watch from the next one",
		file: "view/follow.go",
		old:  "err := v.watch(ctx, v.Revision()+1)",
		new:  "err := v.watch(ctx, v.Revision()+2)",
		test: "TestAnOutageOfEtcd",
	},
	{
		name:  "compaction skipped",
		rule:  "after a compaction everything is listed again",
		file:  "view/follow.go",
		old:   "!errors.Is(err, rpctypes.ErrCompacted) && ",
		new:   "(errors.Is(err, rpctypes.ErrCompacted) || true) && ",
		test:  "TestCompactionDuringAnOutage",
		hangs: hangsInBubble,
	},
	{
		name: "old report believed",
		rule: "a report says nothing about an owner that is younger",
		file: "maintainer/report.go",
		old:  " || l.state.OwnedSince(r) > revision {",
		new:  " {",
		test: "TestAnOldReportChangesNothing",
	},
	{
		name: "report compared before the view has caught up",
		rule: "a report is compared once the view has reached its revision",
		file: "maintainer/report.go",
		old:  "for len(st.comparing) > 0 && st.comparing[0].revision <= revision {",
		new:  "for len(st.comparing) > 0 && revision > 0 {",
		test: "TestAReportWaitsForTheView",
	},
	{
		name: "position believed while an opening is asked",
		rule: "no report counts once an opening is asked or claimed: its position was taken before",
		file: "maintainer/progress.go",
		old:  "return w == nil || !w.ask.opening()",
		new:  "return w == nil || true",
		test: "TestNoReportCountsWhileAnOpeningIsAsked",
	},
	{
		name: "position of a stranger believed",
		rule: "only the recorded owner raises a position",
		file: "maintainer/progress.go",
		old:  "if !ok || s.Owner.Session != session || l.state.Session(s.Owner.Node) != session {",
		new:  "if !ok || s.Owner.Nobody() {",
		test: "TestProgressIsStoredOnceAndNeverGoesDown",
	},
	{
		name: "opened beside a write of positions",
		rule: "asking to open carries the position, taken once outstanding writes are answered",
		file: "maintainer/progress.go",
		old:  "if b == nil || !b.writing {",
		new:  "if true || b == nil || !b.writing {",
		test: "TestAnOpeningWaitsForTheProgressWrite",
	},
}

// holding are rules of time: who may still act, and what is really closed.
var holding = []mutant{
	{
		name: "spans placed before the lapse",
		rule: "nothing of a lost session is opened elsewhere before the moment up to which it may act",
		file: "maintainer/gather.go",
		old:  "return l.lapse(r, l.lapsesAt(who.Session))",
		new:  "return operator.Over",
		test: "TestARevokedSessionIsWaitedFor",
	},
	{
		name: "unseen openers not waited for",
		rule: "a new process waits one TTL for openers whose end nobody has seen",
		file: "maintainer/gather.go",
		old:  "m.Opener = l.lapse(r, l.m.past.unseenUntil(s))",
		new:  "m.Opener = operator.Over",
		test: "TestANewProcessWaitsForOpenersThatItCannotKnow",
	},
	{
		name: "lapse ignores the TTL",
		rule: "a session whose end is not known to be expiry may act for one TTL more",
		file: "operator/lapse.go",
		old:  "return l.SeenAt + l.TTL",
		new:  "return l.SeenAt",
		pkg:  "maintainer",
		test: "TestARevokedSessionIsWaitedFor",
	},
	{
		name: "expiry believed before the declared moment",
		rule: "a key that vanished before the declared moment was not lost by expiry",
		file: "operator/lapse.go",
		old:  "l.SeenAt >= l.Declared && ",
		new:  "",
		pkg:  "maintainer",
		test: "TestARevokedSessionIsWaitedFor",
	},
	{
		name: "closing told before it is over",
		rule: "closed means that Close has returned",
		file: "dispatcher/closing.go",
		old:  "{ return inst.Close(ctx) },",
		new:  "{ go func() { _, _ = inst.Close(context.WithoutCancel(ctx)) }(); return Position{}, nil },",
		test: "TestMoveHandsOff",
	},
	{
		name:  "instances outlive their session",
		rule:  "everything is aborted the moment the right to act is over",
		file:  "dispatcher/life.go",
		old:   "if n := runs.fence(); n > 0 {",
		new:   "if n := runs.running(); n > 0 {",
		test:  "TestFencesItselfInTime",
		hangs: hangsInBubble,
	},
}

// mirroring are rules of the workload that comes with it.
var mirroring = []mutant{
	{
		name: "fence not written",
		rule: "once Open has returned, no write with a smaller token into the range succeeds",
		file: "workload/mirror/fence.go",
		old:  "taken = append(taken, s)\n",
		new:  "taken = append(taken, s)[:0]\n",
		test: "TestNewerOpenFencesTheOlderOwner",
	},
	{
		name: "newer owner overtaken",
		rule: "the smaller token refuses itself",
		file: "workload/mirror/fence.go",
		old:  "if s.Token > t.own.Token || s.Sealed > t.own.Token {",
		new:  "if s.Sealed > t.own.Token {",
		test: "TestNewerOpenFencesTheOlderOwner/equal",
	},
	{
		name: "position told before it is durable",
		rule: "a checkpoint is told once everything up to it is written",
		file: "workload/mirror/follow.go",
		old:  "if err := in.write(func() error { return in.sink.apply(ctx, gs) }); err != nil {",
		new:  "in.reached(gs[len(gs)-1].rev, time.Time{})\n\tif err := in.write(func() error { return in.sink.apply(ctx, gs) }); err != nil {",
		test: "TestAPositionIsToldOnceItIsDurable",
	},
	{
		name: "closed with a write unanswered",
		rule: "nothing that was unanswered can land after Close",
		file: "workload/mirror/close.go",
		old:  "if in.dirty {\n",
		new:  "if false {\n",
		test: "TestNothingLandsAfterClose",
	},
	{
		name: "closed beyond the position",
		rule: "a closing at a position writes nothing beyond it",
		file: "workload/mirror/brake.go",
		old:  "gs = upTo(gs, b.limit)",
		new:  "gs = upTo(gs, b.limit+1)",
		test: "TestCloseAtEndsExactlyThere",
	},
	{
		name: "lease of a key dropped",
		rule: "a key that hangs on a lease at the source does so at the destination",
		file: "workload/mirror/sink_etcd.go",
		old:  "return clientv3.OpPut(key, string(c.value), clientv3.WithLease(lease)), err",
		new:  "return clientv3.OpPut(key, string(c.value), clientv3.WithLease(lease*0)), err",
		test: "TestLeasesAreCopied",
	},
}
