package llm_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/leash-gateway/leash/llm"
)

func TestCheckAcceptsStrictJSON(t *testing.T) {
	tests := map[string]string{
		"object":                            `{"model":"gpt-4o","n":1}`,
		"empty containers":                  `{"a":{},"b":[],"c":[[],{}]}`,
		"white space of all four kinds":     " \t\r\n{ \"a\" :\n[ 1 ,\t2 ] } \r\n",
		"scalar":                            `"text"`,
		"literals":                          `[true,false,null]`,
		"numbers":                           `[0,-0,10,-1.5,1e3,1E-3,0.10e+7,123456789012345678901234567890]`,
		"escapes":                           `"\"\\\/\b\f\n\r\t\u0041\u00e9\uFFFF"`,
		"surrogate pair":                    `"\uD83D\uDE00 \ud83d\ude00"`,
		"raw UTF-8":                         `"é 苹 😀 ` + "\u2028\uFEFF\uFFFD\x7f" + `"`,
		"same key in different objects":     `{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}`,
		"keys that differ in case":          `{"model":1,"Model":2}`,
		"empty key":                         `{"":1,"a":2}`,
		"as deep as allowed, arrays":        strings.Repeat("[", llm.MaxDepth) + strings.Repeat("]", llm.MaxDepth),
		"as deep as allowed, objects":       strings.Repeat(`{"a":`, llm.MaxDepth-1) + "{}" + strings.Repeat("}", llm.MaxDepth-1),
		"side by side more than the depth":  "[" + strings.Repeat("[],{},", llm.MaxDepth*2) + "0]",
		"many keys, escaped and not":        `{` + numbered(40, `"k%"`) + `,` + numbered(40, `"\u0061%"`) + `}`,
		"many keys, in objects among these": `{` + numbered(40, `"k%":{`+numbered(20, `"k%"`)+`},"l%"`) + `}`,
	}
	for name, body := range tests {
		t.Run(name, func(t *testing.T) {
			if err := llm.Check([]byte(body)); err != nil {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestCheckRefusesWhatParsersMayReadDifferently(t *testing.T) {
	tests := map[string]struct{ body, want string }{
		"nothing":                {``, `invalid JSON at byte 0: ends where a value should be`},
		"white space only":       {" \n", `invalid JSON at byte 2: ends where a value should be`},
		"byte-order mark":        {"\uFEFF{}", `invalid JSON at byte 0: begins with a byte-order mark`},
		"byte-order mark inside": {"[\uFEFF1]", `invalid JSON at byte 1: expected a value, found '\u00ef'`},
		"two values":             {`{} {}`, `invalid JSON at byte 3: data after the value`},
		"trailing NUL":           {"{}\x00", `invalid JSON at byte 2: data after the value`},
		"other white space":      {"{\v}", `invalid JSON at byte 1: expected a key in quotes, found '\v'`},
		"comment":                {`{/**/}`, `invalid JSON at byte 1: expected a key in quotes, found '/'`},

		"same key twice":               {`{"model":1,"model":2}`, `invalid JSON at byte 11: key "model" appears twice`},
		"same key twice, nested":       {`{"a":[{"b":{"c":1,"c":1}}]}`, `invalid JSON at byte 18: key "c" appears twice`},
		"same key, one escaped":        {`{"model":1,"\u006dodel":2}`, `invalid JSON at byte 11: key "model" appears twice`},
		"same key, both escaped":       {`{"\u006Dodel":1,"\u006dodel":2}`, `invalid JSON at byte 16: key "model" appears twice`},
		"same key, raw and as pair":    {`{"😀":1,"\ud83d\uDE00":2}`, `invalid JSON at byte 10: key "😀" appears twice`},
		"same key around an object":    {`{"a":{"x":1,"y":2},"a":1}`, `invalid JSON at byte 19: key "a" appears twice`},
		"empty key twice":              {`{"":1,"":2}`, `invalid JSON at byte 6: key "" appears twice`},
		"long key twice":               {`{"` + strings.Repeat("k", 99) + `":1,"` + strings.Repeat("k", 99) + `":1}`, `invalid JSON at byte 105: key "` + strings.Repeat("k", 64) + `"... appears twice`},
		"first and last of many":       {`{"x":1,` + numbered(40, `"k%"`) + `,"x":2}`, `key "x" appears twice`},
		"two late ones of many":        {`{` + numbered(40, `"k%"`) + `,"k39":2}`, `key "k39" appears twice`},
		"late and escaped, of many":    {`{` + numbered(40, `"k%"`) + `,"\u006b39":2}`, `key "k39" appears twice`},
		"many, around one with many":   {`{` + numbered(40, `"k%"`) + `,"o":{` + numbered(40, `"k%"`) + `},"k7":2}`, `key "k7" appears twice`},
		"many, inside of one of many":  {`{` + numbered(40, `"k%"`) + `,"o":{` + numbered(40, `"k%"`) + `,"k30":1}}`, `key "k30" appears twice`},
		"offset of an escaped late":    {`{` + numbered(60, `"k%"`) + `,"\u006b59":2}`, `invalid JSON at byte 471: key "k59" appears twice`},
		"too deep, arrays":             {strings.Repeat("[", llm.MaxDepth+1), `invalid JSON at byte 128: nested more than 128 deep`},
		"too deep, objects":            {strings.Repeat(`{"a":`, 10000), `nested more than 128 deep`},
		"array not closed":             {`[1`, `invalid JSON at byte 2: ends where a comma or the end of the array should be`},
		"array without comma":          {`[1 2]`, `expected a comma or the end of the array, found '2'`},
		"array with comma at the end":  {`[1,]`, `expected a value, found ']'`},
		"array with comma at the head": {`[,1]`, `expected a value, found ','`},
		"array closed as object":       {`[1}`, `expected a comma or the end of the array, found '}'`},
		"object not closed":            {`{"a":1`, `ends where a comma or the end of the object should be`},
		"object with comma at the end": {`{"a":1,}`, `expected a key in quotes, found '}'`},
		"object without colon":         {`{"a" 1}`, `expected a colon, found '1'`},
		"object without value":         {`{"a":}`, `expected a value, found '}'`},
		"key without quotes":           {`{a:1}`, `expected a key in quotes, found 'a'`},
		"single quotes":                {`{'a':1}`, `expected a key in quotes, found '\''`},

		"not UTF-8":                    {"\"a\xff\"", `invalid JSON at byte 2: not UTF-8`},
		"UTF-8 cut short":              {"\"\xe2\x82\"", `invalid JSON at byte 1: not UTF-8`},
		"UTF-8 longer than needed":     {"\"\xc0\xaf\"", `not UTF-8`},
		"surrogate in UTF-8":           {"\"\xed\xa0\x80\"", `not UTF-8`},
		"not UTF-8 in a key":           {"{\"\xff\":1}", `not UTF-8`},
		"high surrogate alone":         {`"\ud83d"`, `invalid JSON at byte 1: half a surrogate pair`},
		"high surrogate and text":      {`"\ud83dx\ude00"`, `half a surrogate pair`},
		"low surrogate alone":          {`"\ude00"`, `half a surrogate pair`},
		"surrogates in wrong order":    {`"\ude00\ud83d"`, `half a surrogate pair`},
		"two high surrogates":          {`"\ud83d\ud83d\ude00"`, `half a surrogate pair`},
		"lone surrogate in a key":      {`{"\ud83d":1}`, `half a surrogate pair`},
		"surrogate and bad escape":     {`"\ud83d\u00zz"`, `half a surrogate pair`},
		"unknown escape":               {`"\x41"`, `unknown escape`},
		"escape of three digits":       {`"\u004"`, `\u without four hexadecimal digits`},
		"escape with a sign":           {`"\u+041"`, `\u without four hexadecimal digits`},
		"line break in a string":       {"\"a\nb\"", `invalid JSON at byte 2: control character in a string`},
		"NUL in a string":              {"\"\x00\"", `control character in a string`},
		"string not closed":            {`"abc`, `invalid JSON at byte 4: ends inside a string`},
		"string ends in an escape":     {`"abc\`, `ends inside a string`},
		"string ends in a backslash":   {`"abc\"`, `ends inside a string`},
		"number with a plus":           {`+1`, `expected a value, found '+'`},
		"number with a zero in front":  {`01`, `data after the value`},
		"number that is a minus":       {`-`, `ends where a digit should be`},
		"number with a point in front": {`.5`, `expected a value, found '.'`},
		"number with a point behind":   {`1.`, `ends where a digit should be`},
		"number without exponent":      {`1e`, `ends where a digit should be`},
		"number with a sign only":      {`1e+`, `ends where a digit should be`},
		"hexadecimal number":           {`0x10`, `data after the value`},
		"not a number":                 {`NaN`, `expected a value, found 'N'`},
		"infinity":                     {`-Infinity`, `expected a digit, found 'I'`},
		"literal in capitals":          {`True`, `expected a value, found 'T'`},
		"literal cut short":            {`nul`, `expected a value, found 'n'`},
		"literal with more behind":     {`nulls`, `data after the value`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			err := llm.Check([]byte(tc.body))
			var syntax *llm.SyntaxError
			if !errors.As(err, &syntax) {
				t.Fatalf("got %v, want a *SyntaxError", err)
			}
			if !strings.HasSuffix(err.Error(), tc.want) {
				t.Errorf("got  %v\nwant %v", err, tc.want)
			}
		})
	}
}

func TestCheckTakesLinearTimeForHostileBodies(t *testing.T) {
	tests := map[string][]byte{
		"a million keys":                     manyKeys(1e6),
		"a million keys in many objects":     bytes.Join([][]byte{[]byte("["), bytes.Repeat(append(manyKeys(17), ','), 6e4), []byte("0]")}, nil),
		"many keys around an object of many": []byte(`{` + numbered(1e5, `"k%"`) + `,"o":` + string(manyKeys(1e5)) + `}`),
		"nothing but brackets":               bytes.Repeat([]byte("["), 1e7),
		"nothing but quotes":                 bytes.Repeat([]byte(`"`), 1e7),
	}
	for name, body := range tests {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_ = llm.Check(body)
			// Well over what it takes with the race detector on a busy machine; quadratic would be hours.
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// numbered repeats a key n times with a value, % being its number.
func numbered(n int, key string) string {
	all := make([]string, n)
	for i := range all {
		all[i] = strings.ReplaceAll(key, "%", strconv.Itoa(i)) + ":1"
	}
	return strings.Join(all, ",")
}

func FuzzCheck(f *testing.F) {
	for _, seed := range []string{
		`{"model":"gpt-4o","messages":[{"role":"user","content":"hi \ud83d\ude00"}],"n":1.5e3}`,
		`{"a":1,"\u0061":2}`, `"\ud83d"`, "\"\xff\"", `[[[[1,2],[]]],{}]`, ` null `, "\uFEFF1",
		`{` + numbered(20, `"k%"`) + `,"\u006b3":0}`, strings.Repeat("[", 129) + strings.Repeat("]", 129),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var want string // why Check refuses it
		switch {
		case !json.Valid(body):
			want = "not JSON"
		case !utf8.Valid(body):
			want = "not UTF-8"
		case hasLoneSurrogate(body):
			want = "lone surrogate"
		default:
			want = walk(t, body)
		}
		if err := llm.Check(body); (err == nil) != (want == "") {
			t.Errorf("got %v, want %q, for %q", err, want, body)
		}
	})
}

var surrogates = regexp.MustCompile(`\\\\|(?:\\u[dD][89abAB][0-9a-fA-F]{2})?\\u[dD][89a-fA-F][0-9a-fA-F]{2}`)

// hasLoneSurrogate tells it of valid JSON.
func hasLoneSurrogate(body []byte) bool {
	for _, m := range surrogates.FindAllString(string(body), -1) {
		switch len(m) {
		case 6:
			return true
		case 12:
			high, _ := strconv.ParseUint(m[2:6], 16, 16)
			low, _ := strconv.ParseUint(m[8:12], 16, 16)
			if utf16.DecodeRune(rune(high), rune(low)) == utf8.RuneError {
				return true
			}
		}
	}
	return false
}

// walk goes through valid JSON with encoding/json and tells what of it Check refuses.
func walk(t *testing.T, body []byte) string {
	t.Helper()
	type open struct {
		keys map[string]bool // nil for an array
		key  bool            // the next token is a key
	}
	var stack []open
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err == io.EOF {
			return ""
		}
		if err != nil {
			t.Fatalf("%v in %q", err, body)
		}
		if delim, ok := token.(json.Delim); ok && (delim == '}' || delim == ']') {
			stack = stack[:len(stack)-1]
			continue
		}
		if len(stack) > 0 {
			if top := &stack[len(stack)-1]; top.keys != nil {
				if top.key {
					key := token.(string)
					if top.keys[key] {
						return "duplicate key " + key
					}
					top.keys[key] = true
				}
				top.key = !top.key
			}
		}
		switch token {
		case json.Delim('{'):
			stack = append(stack, open{keys: map[string]bool{}, key: true})
		case json.Delim('['):
			stack = append(stack, open{})
		}
		if len(stack) > llm.MaxDepth {
			return "depth"
		}
	}
}
