package setup_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/registry/artifact"
	"github.com/leash-gateway/leash/registry/blobs"
	"github.com/leash-gateway/leash/registry/registrytest"
	"github.com/leash-gateway/leash/registry/remote"
)

// process is a running `leash registry serve`.
type process struct {
	t       *testing.T
	command *exec.Cmd
	address string
	log     string
}

// serve starts the built command on a data folder, and waits until it is ready. What is pushed is not tried.
func serve(t *testing.T, data string) *process {
	t.Helper()
	return serveWith(t, data, "--no-scenarios")
}

func serveWith(t *testing.T, data string, flags ...string) *process {
	t.Helper()
	program, err := filepath.Abs("../../bin/leash")
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, address: nettest.FreeAddress(t), log: filepath.Join(t.TempDir(), "log")}
	out, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p.command = exec.Command(program, append([]string{"registry", "serve", "--data", data, "--listen", p.address}, flags...)...)
	p.command.Stderr = out
	if err := p.command.Start(); err != nil {
		t.Fatalf("%v (make leash builds it)", err)
	}
	t.Cleanup(p.kill)
	nettest.Succeeds(t, "it to serve", func() error {
		if p.status("/healthz") == http.StatusOK {
			return nil
		}
		return errors.New(p.logged())
	})
	return p
}

func (p *process) logged() string {
	text, _ := os.ReadFile(p.log)
	return string(text)
}

// kill ends it in the middle of whatever it does.
func (p *process) kill() {
	if p.command.ProcessState == nil {
		_ = p.command.Process.Kill()
		_ = p.command.Wait()
	}
}

func (p *process) status(path string) int {
	answer, err := http.Get("http://" + p.address + path)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}

// client has an empty cache, so that what it pulls comes from the registry.
func client(t *testing.T) *remote.Client {
	t.Helper()
	folder := blobs.In(t.TempDir())
	c, err := remote.New(remote.Options{Blobs: &folder, PlainHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (p *process) push(ctx context.Context, c *remote.Client, version, content string) (digest.Digest, error) {
	wasm := registrytest.Module(p.t, "hello", version, content)
	m, err := manifest.Of("hello", wasm)
	if err != nil {
		return "", err
	}
	a, err := artifact.Pack(wasm, m, artifact.Source{ABI: "0.2.1"}, artifact.Image)
	if err != nil {
		return "", err
	}
	at, err := c.Push(ctx, remote.Reference{Registry: p.address, Repository: "team/hello", Tag: version}, a)
	return at.Digest, err
}

// pushOnce is a push that does not try again what the registry could not keep: clients do for long.
func (p *process) pushOnce(version, content string) (digest.Digest, error) {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.t.Context())
	defer cancel()
	folder := blobs.In(p.t.TempDir())
	c, err := remote.New(remote.Options{Blobs: &folder, PlainHTTP: true, Local: map[string]http.RoundTripper{p.address: once(cancel)}})
	if err != nil {
		p.t.Fatal(err)
	}
	return p.push(ctx, c, version, content)
}

// once ends everything when a server has failed.
type once context.CancelFunc

func (end once) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && answer.StatusCode >= http.StatusInternalServerError {
		end()
	}
	return answer, err
}

// visible checks that everything that can be seen is whole, and returns it by version.
func (p *process) visible() map[string]digest.Digest {
	p.t.Helper()
	answer, err := http.Get("http://" + p.address + "/v2/team/hello/tags/list")
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	var list struct{ Tags []string }
	if answer.StatusCode == http.StatusOK {
		if err := json.NewDecoder(answer.Body).Decode(&list); err != nil {
			p.t.Fatal(err)
		}
	}
	found, c := map[string]digest.Digest{}, client(p.t)
	for _, tag := range list.Tags {
		pulled, err := c.Pull(context.Background(), remote.Reference{Registry: p.address, Repository: "team/hello", Tag: tag})
		if err != nil {
			p.t.Errorf("%s can be seen and is not whole: %v", tag, err)
			continue
		}
		found[tag] = pulled.Reference.Digest
	}
	return found
}

// acknowledged are pushes that the registry has said yes to.
type acknowledged struct {
	mu sync.Mutex
	of map[string]digest.Digest
}

func (a *acknowledged) add(version string, d digest.Digest) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if there, twice := a.of[version]; twice && there != d {
		return fmt.Errorf("version %s was acknowledged twice, with different contents", version)
	}
	a.of[version] = d
	return nil
}

func (a *acknowledged) check(t *testing.T, found map[string]digest.Digest) {
	t.Helper()
	for version, d := range a.of {
		if found[version] != d {
			t.Errorf("%s was acknowledged with %s, and is %q", version, d, found[version])
		}
	}
}

func TestKilledAtRandomMomentsItLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	data, kept := t.TempDir(), &acknowledged{of: map[string]digest.Digest{}}
	random := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano()))) //nolint:gosec // moments
	const rounds, pushers = 12, 4
	for round := range rounds {
		p := serve(t, data)
		kept.check(t, p.visible())
		ctx, cancel := context.WithCancel(t.Context())
		some := make(chan struct{}, 1<<10) // one for each that was acknowledged
		var wait sync.WaitGroup
		for pusher := range pushers {
			wait.Go(func() {
				c := client(t)
				for n := 0; ctx.Err() == nil; n++ {
					// Two pushers each want the same versions, with contents of their own.
					version := fmt.Sprintf("%d.%d.%d", round, pusher/2, n)
					if d, err := p.push(ctx, c, version, fmt.Sprintf("%s by %d%s", version, pusher, strings.Repeat(".", 200<<10))); err == nil {
						if err := kept.add(version, d); err != nil {
							t.Error(err)
						}
						some <- struct{}{}
					}
				}
			})
		}
		// After so many pushes, and then at any moment: how fast the machine is does not matter.
		for range 1 + random.IntN(2*pushers) {
			select {
			case <-some:
			case <-time.After(time.Minute):
				t.Fatalf("nothing is acknowledged:\n%s", p.logged())
			}
		}
		<-time.After(time.Duration(random.IntN(100)) * time.Millisecond)
		p.kill()
		cancel()
		wait.Wait()
	}
	kept.check(t, serve(t, data).visible())
	if len(kept.of) < rounds {
		t.Errorf("only %d pushes were acknowledged in %d rounds", len(kept.of), rounds)
	}
	t.Logf("%d pushes were acknowledged in %d rounds", len(kept.of), rounds)
}

func TestAFullDiskStopsPushesAndNothingElse(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	mount := func(flags uintptr, size string) {
		t.Helper()
		if err := syscall.Mount("tmpfs", data, "tmpfs", flags, "size="+size); err != nil {
			if errors.Is(err, syscall.EPERM) && os.Geteuid() != 0 {
				t.Skip("only root can make a small file system to fill")
			}
			t.Fatal(err)
		}
	}
	mount(0, "8m")
	t.Cleanup(func() {
		if err := syscall.Unmount(data, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	kept := &acknowledged{of: map[string]digest.Digest{}}
	p := serve(t, data)
	content := func(n int) string { return fmt.Sprint(n) + strings.Repeat("x", 1<<20) }
	var refused error
	for n := 0; refused == nil; n++ {
		if n > 20 {
			t.Fatal("20 MB were taken on 8 MB")
		}
		version := fmt.Sprintf("1.0.%d", n)
		d, err := p.pushOnce(version, content(n))
		if refused = err; err == nil {
			kept.of[version] = d
		}
	}
	if len(kept.of) < 3 {
		t.Errorf("only %d modules of 1 MB went onto 8 MB", len(kept.of))
	}
	// Small ones fill what large ones have left.
	for n := range 40 {
		version := fmt.Sprintf("1.1.%d", n)
		d, err := p.pushOnce(version, fmt.Sprint(n)+strings.Repeat("y", 100<<10))
		if err == nil {
			kept.of[version] = d
		}
	}
	kept.check(t, p.visible())
	if p.status("/healthz") != http.StatusOK {
		t.Errorf("it does not live:\n%s", p.logged())
	}
	mount(syscall.MS_REMOUNT, "64m")
	version := "2.0.0"
	d, err := p.push(t.Context(), client(t), version, content(99))
	if err != nil {
		t.Fatalf("there is room again: %v\n%s", err, p.logged())
	}
	kept.of[version] = d
	kept.check(t, p.visible())
	if p.status("/readyz") != http.StatusOK {
		t.Error("it is not ready again")
	}
	p.kill()
	p = serve(t, data)
	found := p.visible()
	kept.check(t, found)
	if len(found) != len(kept.of) {
		t.Errorf("%d are there, and %d were acknowledged", len(found), len(kept.of))
	}
}

func TestWhatIsPushedIsTriedFirst(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	p := serveWith(t, data)
	_, err := p.push(t.Context(), client(t), "1.0.0", "a module without a function")
	if err == nil || !strings.Contains(err.Error(), "it cannot be started") {
		t.Errorf("got %v", err)
	}
	if found := p.visible(); len(found) > 0 {
		t.Errorf("there is %v", found)
	}
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.command.Wait(); err != nil {
		t.Errorf("%v\n%s", err, p.logged())
	}
	for _, dir := range []string{"scratch", "tryouts"} {
		if left, err := os.ReadDir(filepath.Join(data, dir)); err != nil || len(left) > 0 {
			t.Errorf("it has left %v, %v", left, err)
		}
	}
}

func TestItEndsWhatIsUnderWayWhenItIsTold(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	p := serve(t, data)
	in, out := io.Pipe()
	put, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.address+"/v2/team/thing/blobs/uploads/?digest="+digest.FromString("hello world").String(), in)
	if err != nil {
		t.Fatal(err)
	}
	put.ContentLength = int64(len("hello world"))
	status := make(chan int, 1)
	go func() {
		answer, err := http.DefaultClient.Do(put)
		if err != nil {
			status <- 0
			return
		}
		answer.Body.Close()
		status <- answer.StatusCode
	}()
	if _, err := io.WriteString(out, "hello "); err != nil {
		t.Fatal(err)
	}
	nettest.Eventually(t, "the upload to begin", func() bool {
		begun, err := filepath.Glob(filepath.Join(data, "oci", "team", "thing", "_uploads", "*"))
		return err == nil && len(begun) > 0
	})
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.logs("ending")
	if _, err := io.WriteString(out, "world"); err != nil {
		t.Fatal(err)
	}
	out.Close()
	if got := <-status; got != http.StatusCreated {
		t.Errorf("the upload ended with %d", got)
	}
	if err := p.command.Wait(); err != nil {
		t.Errorf("%v\n%s", err, p.logged())
	}
}

// wasm is the digest of a version's .wasm, out of its manifest.
func (p *process) wasm(version string) digest.Digest {
	p.t.Helper()
	answer, err := http.Get("http://" + p.address + "/v2/team/hello/manifests/" + version)
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	layer, _, err := artifact.Layer(text)
	if err != nil {
		return ""
	}
	return layer.Digest
}
