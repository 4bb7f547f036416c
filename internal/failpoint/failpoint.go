package failpoint

import (
	"context"
	"fmt"
)

// The environment of tagged builds.
const (
	EnvPoints = "SPANWARD_FAILPOINTS"
	EnvLog    = "SPANWARD_FAILPOINT_LOG"
)

// Hook is what a test does at each hit; Hit returns its error.
type Hook func(ctx context.Context, name string) error

// Set is what one process does at its failpoints. A nil Set does nothing.
type Set struct {
	hook  Hook
	armed armed // what the environment asked for; empty without the tag
}

// NewHook makes a Set that calls the hook at every hit, in any build.
func NewHook(hook Hook) *Set { return &Set{hook: hook} }

// Hit is called at the named place. An error means that this process is being killed: the caller stops at once, as if it no
// longer existed, without cleaning up.
func (s *Set) Hit(ctx context.Context, name string) error {
	mustBeRegistered(name)
	if s == nil {
		return nil
	}
	if s.hook == nil {
		return s.armed.hit(ctx, name)
	}
	if !registered(name) {
		return fmt.Errorf("failpoint %q is not in names.go", name)
	}
	return s.hook(ctx, name)
}
