//go:build !failpoint

package failpoint

import (
	"context"

	"github.com/spanward/spanward/internal/fault"
)

// Enabled says whether this build listens to the environment.
const Enabled = false

type armed struct{}

func (armed) hit(context.Context, string) error { return nil }

func mustBeRegistered(string) {}

// FromEnv refuses an environment that asks for failpoints, since this build has none.
func FromEnv(getenv func(string) string) (*Set, error) {
	if v := getenv(EnvPoints); v != "" {
		return nil, fault.New(fault.InvalidArgument, "this binary is built without failpoints").On(EnvPoints, v).
			Fix("unset the variable, or build with -tags failpoint")
	}
	return nil, nil
}
