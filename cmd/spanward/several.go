package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// severalAnnotation marks flags that several values may follow: `--set a=1 b=2` is `--set a=1 --set b=2`.
const severalAnnotation = "spanward_several"

// several lets more values follow the first one of a flag. The mark is what every value holds and no name does: without
// it nobody could tell a value from an argument.
func several(flags *pflag.FlagSet, name, mark string) {
	_ = flags.SetAnnotation(name, severalAnnotation, []string{mark}) // fails only for a flag that is not there
}

// spread writes such flags out, each in front of one value, which is all that the flag parser understands.
func spread(root *cobra.Command, args []string) []string {
	cmd, _, err := root.Find(args)
	if err != nil {
		return args
	}
	var out []string
	var flag, mark string
	for n := 0; n < len(args); n++ {
		arg := args[n]
		switch name, found := severalOf(cmd, arg); {
		case arg == "--":
			return append(out, args[n:]...)
		case found != "" && n+1 < len(args) && !strings.Contains(arg, "="):
			out = append(out, arg, args[n+1]) // the value comes after the flag
			n++
			flag, mark = name, found
		case strings.HasPrefix(arg, "-"):
			out = append(out, arg)
			flag, mark = name, found
		case flag != "" && strings.Contains(arg, mark):
			out = append(out, flag, arg)
		default:
			out = append(out, arg)
			flag = ""
		}
	}
	return out
}

// severalOf gives the flag and its mark if the argument is a flag that several values may follow.
func severalOf(cmd *cobra.Command, arg string) (flag, mark string) {
	name, _, _ := strings.Cut(arg, "=")
	if !strings.HasPrefix(name, "--") {
		return "", ""
	}
	f := cmd.Flags().Lookup(strings.TrimPrefix(name, "--"))
	if f == nil || len(f.Annotations[severalAnnotation]) == 0 {
		return "", ""
	}
	return name, f.Annotations[severalAnnotation][0]
}
