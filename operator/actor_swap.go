package operator

import (
	"time"

	"github.com/spanward/spanward/internal/record"
)

// Child is a span that a swap has made, with the claim that came with it.
type Child struct {
	Span  Span
	Claim Claim
}

// Inherit is the actor of a child, which opens at once under the claim that the swap has put.
func Inherit(env Env, c Child) (Actor, []Effect) {
	a := Actor{
		Phase: Opening, Span: c.Span, Claim: c.Claim, From: c.Span.Checkpoint, Token: Token(env.Generation, c.Claim.Mod),
	}
	return a, []Effect{Open{a.Token, a.From}}
}

func (a Actor) split(env Env) (Actor, []Effect) {
	a.SwapAt = env.Now
	s, err := sendSwap(env, []Held{a.held()})
	if err != nil {
		a.Why = err.Error()
		return a.dropClaim(env)
	}
	return a, []Effect{s}
}

func (a Actor) held() Held { return Held{Span: a.Span, Claim: &a.Claim, At: a.From} }

// sendSwap: the history is written once, so its revision is that of the swap, however late the answer comes.
func sendSwap(env Env, parents []Held) (Send, error) {
	p, err := SwapClaimed(env.Layout, parents, env.Now)
	first := parents[0]
	return Send{Part: p, Key: env.Layout.History(first.Keyspace, first.Claim.Operator), Alone: true}, err
}

// become is what follows a swap that was sent at a time and is in etcd at revision mod.
func become(parents []Held, at time.Time, mod int64) Become {
	spans := make([]Span, len(parents))
	from := make([]record.Position, len(parents))
	for n, p := range parents {
		spans[n], from[n] = p.Span, p.At
	}
	made, err := Children(spans, from, at)
	if err != nil {
		return Become{} // then the swap was not sent
	}
	var b Become
	for _, c := range made {
		c.Mod = mod
		b.Children = append(b.Children, Child{c, Claim{Claim: ChildClaim(parents[0].Claim.Claim, at), Mod: mod}})
	}
	return b
}
