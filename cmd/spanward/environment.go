package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/spanward/spanward/internal/fault"
)

// environment is os.LookupEnv or, in tests, a map.
type environment func(name string) (string, bool)

// envPrefix is in front of every variable that stands in for a flag.
const envPrefix = "SPANWARD_"

// envAnnotation marks flags that a variable may stand in for.
const envAnnotation = "spanward_env"

// fromEnv lets the variable SPANWARD_<FLAG> stand in for a flag, and says so in its help.
func fromEnv(flags *pflag.FlagSet, names ...string) {
	for _, name := range names {
		f := flags.Lookup(name)
		variable := envName(name)
		f.Usage += " [$" + variable + "]"
		_ = flags.SetAnnotation(name, envAnnotation, []string{variable}) // fails only for a flag that is not there
	}
}

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// readEnvironment sets what no flag has set: flag > environment > default.
func (a *app) readEnvironment(cmd *cobra.Command) error {
	var err error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		variable := f.Annotations[envAnnotation]
		if f.Changed || len(variable) == 0 || err != nil {
			return
		}
		value, ok := a.env(variable[0])
		if !ok || value == "" {
			return
		}
		if bad := f.Value.Set(value); bad != nil {
			err = fault.New(fault.InvalidArgument, "%s", bad).On("$"+variable[0], value).Fix("correct or unset the variable")
		}
	})
	return err
}
