package printf_test

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/leash-gateway/leash/module/printf"
)

type (
	name    string
	count   int32
	failure struct{ code int }
	point   struct{ X, Y int }
)

func (f failure) Error() string { return fmt.Sprint("failure ", f.code) }

func TestTextsAreThoseOfFmt(t *testing.T) {
	tests := map[string]struct {
		format string
		args   []any
	}{
		"no verb":           {"as it is", nil},
		"a percent sign":    {"100%% of %s", []any{"it"}},
		"strings":           {"%v, %s, %q", []any{"a", "b", "c\n\"d\""}},
		"a string's type":   {"%v, %s, %q, %T", []any{name("a"), name("b"), name("c"), name("d")}},
		"bytes":             {"%s, %q, %v, %d", []any{[]byte("a"), []byte("b"), []byte("c"), []byte("d")}},
		"integers":          {"%v %d %d %d %v", []any{1, -2, uint8(3), uint64(math.MaxUint64), count(5)}},
		"floats":            {"%v %v %v %v %f %.2f %.0f", []any{1.5, 1e6, 1e21, float32(0.1), 2.0, 3.14159, 2.5}},
		"booleans":          {"%v %t", []any{true, false}},
		"errors":            {"%v, %s, %q", []any{errors.New("a"), failure{2}, &failure{3}}},
		"what names itself": {"%v, %s, %d", []any{time.Minute, time.Hour, 2 * time.Nanosecond}},
		"nothing":           {"%v, %s, %T", []any{nil, nil, nil}},
		"lists":             {"%v %s %q %d %v %.1f", []any{[]string{"a", "b"}, []string{}, []name{"c"}, []int{1, 2}, []error{failure{4}}, []float64{0.25}}},
		"types":             {"%T %T %T", []any{1, point{}, &failure{}}},
		"the wrong type":    {"%t, %d, %s", []any{1, "a", 2.5}},
		"an argument less":  {"%s and %d", []any{"one"}},
		"no verb at all":    {"half a %", nil},
		"beyond ASCII":      {"für %s: 10 €, %ü", []any{"dich"}},
	}
	for title, tc := range tests {
		t.Run(title, func(t *testing.T) {
			want := fmt.Sprintf(tc.format, tc.args...)
			if got := printf.Sprintf(tc.format, tc.args...); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestOfOtherValuesTheTypeIsWritten(t *testing.T) {
	got := printf.Sprintf("%v %v %v", point{1, 2}, &point{}, map[string]int{})
	if want := "(printf_test.point) (*printf_test.point) (map[string]int)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestErrorsWrap(t *testing.T) {
	inner := failure{1}
	tests := map[string]struct {
		err   error
		text  string
		wraps bool
	}{
		"with %w":    {printf.Errorf("open %q: %w", "a", inner), `open "a": failure 1`, true},
		"without %w": {printf.Errorf("open %q: %v", "a", inner), `open "a": failure 1`, false},
		"twice":      {printf.Errorf("b: %w", printf.Errorf("a: %w", inner)), "b: a: failure 1", true},
	}
	for title, tc := range tests {
		t.Run(title, func(t *testing.T) {
			if got := tc.err.Error(); got != tc.text {
				t.Errorf("got %q, want %q", got, tc.text)
			}
			if got := errors.Is(tc.err, inner); got != tc.wraps {
				t.Errorf("wraps the error: got %t, want %t", got, tc.wraps)
			}
		})
	}
}

func ExampleErrorf() {
	err := printf.Errorf("window: %q is not one of %v: %w", "day", []string{"minute", "hour"}, errors.ErrUnsupported)
	fmt.Println(err)
	fmt.Println(errors.Is(err, errors.ErrUnsupported))
	// Output:
	// window: "day" is not one of [minute hour]: unsupported operation
	// true
}

func ExampleSprintf() {
	fmt.Println(printf.Sprintf("%d requests of %s took %.1f s", 3, "acme", 0.25))
	// Output: 3 requests of acme took 0.2 s
}
