package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
)

// maxPlanFile bounds what is read for a plan, in bytes: one that moves a million spans has a third of it.
const maxPlanFile = 1 << 30

// readPlan reads a plan that `plan -o json` has printed, and nobody has touched since.
func (a *app) readPlan(name string) (output.Plan, error) {
	in := a.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return output.Plan{}, fault.New(fault.InvalidArgument, "cannot be read: %s", err).On("plan", name).
				Fix("name a file that `spanward plan -o json` has written, or - for stdin")
		}
		defer f.Close()
		in = f
	}
	plan, wrong := parsePlan(in)
	if wrong == nil && plan.Cluster != a.cluster.name {
		wrong = fault.New(fault.WrongCluster, "was made for cluster %s, and this is %s", plan.Cluster, a.cluster.name).
			Fix("give the --cluster and --etcd that belong to it")
	}
	if wrong != nil {
		return output.Plan{}, wrong.On("plan", name)
	}
	return plan, nil
}

const newPlan = "make a new one with `spanward plan -o json`"

func parsePlan(in io.Reader) (output.Plan, *fault.Error) {
	bad := func(format string, args ...any) *fault.Error {
		return fault.New(fault.InvalidArgument, format, args...).Fix(newPlan)
	}
	limited := &io.LimitedReader{R: in, N: maxPlanFile}
	dec := json.NewDecoder(limited)
	dec.DisallowUnknownFields()
	var plan output.Plan
	err := dec.Decode(&plan)
	if err == nil {
		_, err = dec.Token()
		if err == nil {
			return plan, bad("has something behind the plan")
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	switch {
	case limited.N <= 0:
		return plan, bad("has more than %d bytes", int64(maxPlanFile))
	case err != nil:
		return plan, bad("%s", unreadable(err))
	case plan.Digest == "":
		return plan, bad("is no plan, or not all of one: it has no digest")
	case !plan.Unchanged():
		return plan, bad("was changed since it was made")
	}
	return plan, nil
}

// unreadable says why a text is no plan.
func unreadable(err error) string {
	if errors.Is(err, io.EOF) {
		return "is empty"
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return "is cut off"
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return strings.TrimSuffix("has the wrong type in "+wrong.Field, " in ") + ": " + wrong.Value
	}
	return "cannot be understood: " + strings.TrimPrefix(err.Error(), "json: ")
}
