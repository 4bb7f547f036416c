package fault

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Error is an error that a user may see.
type Error struct {
	Reason Reason `json:"reason"`
	// Field is the flag, argument or record field that is wrong; empty if none is.
	Field string `json:"field"`
	// Value is what the field held, as the user would type it.
	Value string `json:"value"`
	// Message says what is wrong, Remedy what to do about it. Neither repeats the field or the value.
	Message string `json:"message"`
	Remedy  string `json:"remedy"`

	cause error
}

// New makes an error with a message.
func New(r Reason, format string, args ...any) *Error {
	return &Error{Reason: r, Message: text(format, args)}
}

// On names the field and the value.
func (e *Error) On(field, value string) *Error {
	e.Field, e.Value = field, value
	return e
}

// Fix says what to do.
func (e *Error) Fix(format string, args ...any) *Error {
	e.Remedy = text(format, args)
	return e
}

// Because keeps the cause for errors.Is, errors.As and the log. Its text is not part of the error's.
func (e *Error) Because(cause error) *Error {
	e.cause = cause
	return e
}

// text leaves a format without arguments alone: it is often somebody else's text, with a % of its own.
func text(format string, args []any) string {
	if len(args) == 0 {
		return format
	}
	return fmt.Sprintf(format, args...)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.cause }

// Error is one line: the field and its value, what is wrong, what to do.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Field)
	if e.Value != "" {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(quote(e.Value))
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	b.WriteString(e.what())
	if e.Remedy != "" {
		b.WriteString("; " + e.Remedy)
	}
	return oneLine(b.String())
}

func (e *Error) what() string {
	if e.Message == "" {
		return strings.ToLower(strings.ReplaceAll(string(e.Reason), "_", " "))
	}
	return e.Message
}

// maxShown bounds the bytes of a value in a line for people; Value itself stays whole.
const maxShown = 256

// quote leaves backslashes alone where it can: keys are escaped already, and doubled backslashes would no longer be what
// the user typed.
func quote(s string) string {
	tail := ""
	if len(s) > maxShown {
		tail = fmt.Sprintf("… (%d bytes)", len(s))
		s = strings.ToValidUTF8(s[:maxShown], "")
	}
	if utf8.ValidString(s) && !strings.ContainsFunc(s, needsQuoting) {
		return `"` + s + `"` + tail
	}
	return strconv.Quote(s) + tail
}

func needsQuoting(r rune) bool { return r == '"' || !strconv.IsPrint(r) }

// oneLine turns what could break a line or a terminal into spaces.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.TrimSpace(s))
}

// As finds the Error in a chain.
func As(err error) (*Error, bool) {
	var e *Error
	ok := errors.As(err, &e)
	return e, ok
}

// Is says whether the chain holds an Error of this reason.
func Is(err error, r Reason) bool {
	e, ok := As(err)
	return ok && e.Reason == r
}

// ForField gives the same error with another field: the caller knows whether the bad key was typed as --at or as an argument.
// An error without a reason is returned as it is.
func ForField(err error, field string) error {
	e, ok := As(err)
	if !ok {
		return err
	}
	renamed := *e
	renamed.Field = field
	return &renamed
}

// ExitCode is the exit code of the command line: 0 for nil, and for what nobody gave a reason
// 4 if it is a timeout, else 1.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	if e, ok := As(err); ok {
		return e.Reason.Class().ExitCode()
	}
	// context.DeadlineExceeded and the timeouts of package net both say so, and this floor imports neither.
	if late, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); ok && late.Timeout() {
		return ClassUnavailable.ExitCode()
	}
	return ClassFailed.ExitCode()
}
