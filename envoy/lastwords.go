package envoy

import (
	"strings"
	"sync"
	"time"

	"github.com/leash-gateway/leash/host/abi/lastwords"
)

// logFormat has lines of level, thread, component and message.
const logFormat = "%l %t\t%n\t%v"

// lastWords takes the lines of an Envoy's log and hands them on, without the thread. What Go's runtime writes in a module as it
// dies, of which each word is a line there, becomes one, and Envoy's line that the VM has died names the module.
type lastWords struct {
	mu     sync.Mutex
	tell   func(line string)
	dying  map[string]*dying // by thread, which runs one VM at a time
	silent time.Duration     // after which no more words come: wordless
}

// wordless is how long a thread is given to die once it has begun to say its last words. On a slow machine words come slowly.
const wordless = 10 * time.Second

// dying is what a module has written.
type dying struct {
	begin  string // of each of its lines: level, component and whose it is
	words  []string
	bytes  int
	giveUp *time.Timer
}

// line takes one line in logFormat. Others it hands on as they are.
func (w *lastWords) line(line string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	head, rest, _ := strings.Cut(line, "\t")
	level, thread, ok := strings.Cut(head, " ")
	if !ok || strings.Trim(thread, "0123456789") != "" {
		w.tell(line)
		return
	}
	line = level + "\t" + rest
	begin, word, ok := strings.Cut(line, ": ")
	ok = ok && strings.HasPrefix(begin, "error\twasm\twasm log ")
	d := w.dying[thread]
	switch {
	case d != nil && ok && begin == d.begin:
		d.add(word)
		d.giveUp.Reset(orDefault(w.silent, wordless))
		return
	case d != nil && strings.HasPrefix(line, vmDied):
		w.tell(d.begin + ": " + lastwords.Line(d.text()))
		w.forget(thread)
		w.tell(line + " (" + d.module() + ")")
		return
	case d != nil:
		w.survived(thread)
	}
	if !ok || !lastwords.Begin(word) {
		w.tell(line)
		return
	}
	d = &dying{begin: begin}
	d.add(word)
	d.giveUp = time.AfterFunc(orDefault(w.silent, wordless), func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.dying[thread] == d {
			w.survived(thread)
		}
	})
	if w.dying == nil {
		w.dying = map[string]*dying{}
	}
	w.dying[thread] = d
}

// vmDied begins Envoy's line that tells it.
const vmDied = "error\twasm\tFunction: "

// flush hands on what is held back when no more lines come.
func (w *lastWords) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for thread := range w.dying {
		w.survived(thread)
	}
}

// survived hands on what only looked like last words.
func (w *lastWords) survived(thread string) {
	d := w.dying[thread]
	for _, word := range d.words {
		w.tell(d.begin + ": " + word)
	}
	w.forget(thread)
}

func (w *lastWords) forget(thread string) {
	w.dying[thread].giveUp.Stop()
	delete(w.dying, thread)
}

// add keeps a word, up to what is worth to be kept.
func (d *dying) add(word string) {
	d.bytes += len(word) + 1
	if d.bytes <= lastwords.MaxBytes {
		d.words = append(d.words, word)
	}
}

// text is what was written. Envoy takes the newline from the end of each word, so that only what Go's runtime writes
// before and after it tells where lines ended.
func (d *dying) text() string {
	var b strings.Builder
	for _, word := range d.words {
		if word == "\t" || b.Len() > 0 && lastwords.Begin(word) {
			b.WriteByte('\n')
		}
		b.WriteString(word)
		if word == "" || word == "]:" {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// module is the plugin's name, which is the first of the words with which Envoy says whose a line is.
func (d *dying) module() string {
	name, _, _ := strings.Cut(strings.TrimPrefix(d.begin, "error\twasm\twasm log "), " ")
	return name
}
