package integration_test

import (
	"testing"
	"time"

	"github.com/spanward/spanward/integration/proc"
)

// awayFor is longer than every session and timeout that is involved.
const awayFor = time.Minute

// The source or the destination of a mirror is silent for a minute: no dispatcher loses its spans over it, and the
// mirror catches up by itself.
func TestMirrorSurvivesASilentEtcd(t *testing.T) {
	for _, name := range []string{"source", "dest"} {
		t.Run(name, func(t *testing.T) {
			c := cluster(t, proc.Options{}, 2)
			m := mirror(t, c, 4)
			before := c.Running("copy", 4)
			p := c.Process(name)
			p.Pause()
			<-time.After(awayFor)
			p.Continue()
			m.equal(t)
			for i, s := range c.Running("copy", 4) {
				if s.Session != before[i].Session || s.Token != before[i].Token {
					t.Errorf("%s was opened again", s.ID)
				}
			}
			c.Verdict()
		})
	}
}
