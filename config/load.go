package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// MaxFile bounds a file that somebody has written, in bytes.
const MaxFile = 8 << 20

// Load reads a leash.yaml. env looks up environment variables (os.LookupEnv). What is wrong in the file comes as Errors,
// with file, line and column, all of it at once.
func Load(path string, env func(string) (string, bool)) (*Config, error) {
	data, err := ReadFile(path, MaxFile)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, data, env)
}

// ReadFile is os.ReadFile for what a person names: a file of at most so many bytes, and what a shell puts in the place of one (/dev/stdin,
// <(command)). A named pipe is none, which would be waited for until somebody writes; nor is a device without an end.
func ReadFile(path string, most int64) ([]byte, error) {
	file, err := open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(data)) > most {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, most)
	}
	return data, err
}

func open(path string) (*os.File, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeNamedPipe != 0 {
		return nil, fmt.Errorf("%s is a named pipe, not a file", path)
	}
	return os.Open(path) //nolint:gosec // whoever runs this names it
}

// Parse reads a leash.yaml that is already in memory; name stands for it in errors, and relative paths in it are
// relative to its folder.
func Parse(name string, data []byte, env func(string) (string, bool)) (*Config, error) {
	text := strings.TrimPrefix(string(data), "\ufeff")
	d := &decoder{file: name, lines: lineBreak.Split(text, -1), env: env, positions: map[string]position{}}
	c := defaults()
	root := d.parse([]byte(text))
	if root != nil {
		d.decode(root, reflect.ValueOf(c).Elem(), "")
	}
	c.file, c.positions, c.lines = name, d.positions, d.lines
	for name, p := range c.Providers {
		c.setDefaults(p, "providers."+name)
	}
	for i := range c.Routes {
		c.setLeast(&c.Routes[i].Failover.Budget, "routes["+strconv.Itoa(i)+"].failover.budget", leastFailovers)
	}
	if root != nil {
		c.check(d)
	}
	if len(d.errors) > 0 {
		d.redact(c)
		return nil, d.errors.inOrder()
	}
	c.spread()
	c.findFiles()
	return c, nil
}

// lineBreak is what the YAML library takes for one: https://yaml.org/spec/1.1/#b-char
var lineBreak = regexp.MustCompile("\r\n|[\r\n\u0085\u2028\u2029]")

// findFiles makes what is relative to leash.yaml relative to the working directory.
func (c *Config) findFiles() {
	c.find(&c.Modules.Dir)
	c.find(&c.Modules.Trust)
	c.find(&c.Tracing.CAFile)
	for _, header := range c.Tracing.Headers {
		c.find(&header.File)
	}
	for _, p := range c.Providers {
		c.find(&p.CAFile)
		for _, secret := range p.secrets() {
			c.find(&secret.File)
		}
		if p.AWS != nil {
			c.find(&p.AWS.CredentialsFile)
		}
	}
	for i := range c.Pipeline {
		c.find(&c.Pipeline[i].File)
	}
}

// Files are those that the configuration names and that may change while it is in force: modules of the user's own, whom they are taken
// from, secrets, and the certificates of those who vouch for servers.
func (c *Config) Files() (files []string) {
	files = append(files, c.Modules.Trust)
	for _, file := range c.certificateFiles() {
		files = append(files, file)
	}
	for _, m := range c.Pipeline {
		files = append(files, m.File)
	}
	for _, header := range c.Tracing.Headers {
		files = append(files, header.File)
	}
	for _, p := range c.Providers {
		for _, secret := range p.secrets() {
			files = append(files, secret.File)
		}
		if p.AWS != nil {
			files = append(files, p.AWS.CredentialsFile)
		}
	}
	slices.Sort(files)
	return slices.DeleteFunc(slices.Compact(files), func(file string) bool { return file == "" })
}

func (c *Config) find(file *string) {
	if *file != "" && !filepath.IsAbs(*file) {
		*file = filepath.Join(filepath.Dir(c.file), *file)
	}
}

// Position is where a part of the configuration stands in its file, or the nearest part that encloses it: 1 and 1 for
// one that stands nowhere.
func (c *Config) Position(path string) (line, column int) {
	for {
		if p, ok := c.positions[path]; ok && p.line > 0 {
			return p.line, p.column
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			return 1, 1
		}
		path = path[:cut]
	}
}

// Given says whether a part stands in the file; what does not has its default.
func (c *Config) Given(path string) bool { return c.positions[path].line > 0 }

// Errorf makes an Error about a part of the configuration, for those who find out later that it cannot work. It has no place where
// nothing of the part stands in the file.
func (c *Config) Errorf(path, format string, args ...any) *Error {
	path = c.written(path)
	e := &Error{File: c.file, Path: path, Reason: fmt.Sprintf(format, args...)}
	if section, _, _ := strings.Cut(path, "."); path != "" && !c.Given(strings.SplitN(section, "[", 2)[0]) {
		return e
	}
	e.Line, e.Column = c.Position(path)
	if e.Line <= len(c.lines) && !revealing.MatchString(c.lines[e.Line-1]) {
		e.Source = c.lines[e.Line-1]
	}
	return e
}

// Placed is an error about a file that a part of the configuration names: as it is, if it tells its own place in that file, else with that of
// the part.
func (c *Config) Placed(path string, err error) error {
	if _, placed := errors.AsType[*Error](err); placed {
		return err
	}
	return c.Errorf(path, "%v", err)
}
