package main

import (
	"io"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/spanward/spanward/internal/fault"
)

// logFlags say how a server logs.
type logFlags struct{ format, level string }

func (f *logFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.format, "log-format", "console", "console or json")
	flags.StringVar(&f.level, "log-level", "info", "debug, info, warn or error")
	fromEnv(flags, "log-format", "log-level")
	_ = cmd.RegisterFlagCompletionFunc("log-format", cobra.FixedCompletions([]string{"console", "json"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("log-level",
		cobra.FixedCompletions([]string{"debug", "info", "warn", "error"}, cobra.ShellCompDirectiveNoFileComp))
}

func (f logFlags) logger(out io.Writer) (*zap.Logger, error) {
	level, err := zapcore.ParseLevel(f.level)
	if err != nil {
		return nil, fault.New(fault.InvalidArgument, "is no level").On("--log-level", f.level).Fix("use debug, info, warn or error")
	}
	encode, err := f.encoder()
	if err != nil {
		return nil, err
	}
	core := zapcore.NewCore(encode, zapcore.Lock(zapcore.AddSync(out)), level)
	return zap.New(core, zap.AddStacktrace(zapcore.DPanicLevel)), nil
}

func (f logFlags) encoder() (zapcore.Encoder, error) {
	cfg := zap.NewProductionEncoderConfig()
	cfg.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	cfg.EncodeDuration = zapcore.StringDurationEncoder
	switch f.format {
	case "json":
		return zapcore.NewJSONEncoder(cfg), nil
	case "console":
		cfg.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		cfg.EncodeLevel = zapcore.CapitalLevelEncoder
		cfg.ConsoleSeparator = "  "
		return zapcore.NewConsoleEncoder(cfg), nil
	}
	return nil, fault.New(fault.InvalidArgument, "is no log format").On("--log-format", f.format).Fix("use console or json")
}
