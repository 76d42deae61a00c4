package module

import "time"

// A moment is a time of the host's clock. It is not a time.Time, since the linker keeps what writes and reads a time as
// text, a twentieth of a small module, wherever one is in reach of a type that an interface holds, as an Exchange is of
// every module (docs/decisions/121-how-long-a-built-module-takes-into-envoy.md).
type moment struct{ seconds, nanoseconds int64 }

func (p *Pipeline) now() (m moment) {
	m.seconds, m.nanoseconds = p.host.Unix()
	return m
}

// once is the time at which it was asked for first.
func (p *Pipeline) once(m *moment) moment {
	if *m == (moment{}) {
		*m = p.now()
	}
	return *m
}

func (m moment) time() time.Time { return time.Unix(m.seconds, m.nanoseconds).UTC() }
