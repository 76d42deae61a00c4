package abi

import (
	"encoding/binary"
	"io"
)

// wasiModules are the names under which modules import WASI; both are the same functions.
var wasiModules = []string{"wasi_snapshot_preview1", "wasi_unstable"}

// Error numbers of WASI. https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md#-errno-variant
const (
	wasiBadf   = 8
	wasiFault  = 21
	wasiInval  = 28
	wasiNoent  = 44
	wasiNosys  = 52
	wasiNotdir = 20
	wasiNotsup = 58
)

// wasiCalls are what Envoy gives of WASI: logs on stdout and stderr, time, randomness, environment. There are no files and no
// sockets; what touches them answers as Envoy does.
var wasiCalls = [...]hostcall{
	wasi("fd_write", fdWrite, true, "fd", "iovs", "iovs_len", "nwritten"),
	wasi("environ_get", environGet, true, "environ", "environ_buf"),
	wasi("environ_sizes_get", environSizes, true, "count", "size"),
	wasi("args_get", answer(0), true, "argv", "argv_buf"),
	wasi("args_sizes_get", argsSizes, true, "count", "size"),
	wasi("clock_time_get", clockTime, true, "clock", "precision*", "time"),
	wasi("clock_res_get", clockResolution, true, "clock", "resolution"),
	wasi("random_get", randomGet, true, "buf", "buf_len"),
	wasi("poll_oneoff", pollOneoff, true, "in", "out", "nsubscriptions", "nevents"),
	wasi("sched_yield", answer(0), false),
	wasi("proc_exit", answer(0), false, "code"),

	wasi("fd_fdstat_get", fdFdstat, true, "fd", "stat"),
	wasi("fd_fdstat_set_flags", answer(wasiNosys), true, "fd", "flags"),
	wasi("fd_fdstat_set_rights", onStdio, true, "fd", "rights*", "inheriting*"),
	wasi("fd_advise", answer(0), true, "fd", "offset*", "len*", "advice"),
	wasi("fd_allocate", onStdio, true, "fd", "offset*", "len*"),
	wasi("fd_datasync", onStdio, true, "fd"),
	wasi("fd_sync", onStdio, true, "fd"),
	wasi("fd_filestat_get", answer(wasiBadf), true, "fd", "buf"),
	wasi("fd_filestat_set_size", onStdio, true, "fd", "size*"),
	wasi("fd_filestat_set_times", onStdio, true, "fd", "atim*", "mtim*", "flags"),
	wasi("fd_read", answer(wasiNosys), false, "fd", "iovs", "iovs_len", "nread"),
	wasi("fd_pread", answer(wasiNosys), true, "fd", "iovs", "iovs_len", "offset*", "nread"),
	wasi("fd_pwrite", fdPwrite, true, "fd", "iovs", "iovs_len", "offset*", "nwritten"),
	wasi("fd_readdir", zeroThen(3+1, wasiNotdir), true, "fd", "buf", "buf_len", "cookie*", "nread"),
	wasi("fd_renumber", fdRenumber, true, "fd", "to"),
	wasi("fd_seek", answer(0), false, "fd", "offset*", "whence", "newoffset"),
	wasi("fd_tell", fdTell, true, "fd", "offset"),
	wasi("fd_close", answer(0), false, "fd"),
	wasi("fd_prestat_get", answer(wasiBadf), true, "fd", "buf"),
	wasi("fd_prestat_dir_name", answer(wasiNosys), true, "fd", "path", "path_len"),

	wasi("path_open", answer(wasiNoent), false, "fd", "dirflags", "path", "path_len", "oflags", "rights*", "inheriting*", "fdflags", "opened"),
	wasi("path_filestat_get", answer(wasiNotsup), true, "fd", "flags", "path", "path_len", "buf"),
	wasi("path_filestat_set_times", answer(wasiNotsup), true, "fd", "flags", "path", "path_len", "atim*", "mtim*", "fst_flags"),
	wasi("path_create_directory", answer(wasiNotsup), true, "fd", "path", "path_len"),
	wasi("path_remove_directory", answer(wasiNotsup), true, "fd", "path", "path_len"),
	wasi("path_link", answer(wasiNotsup), true, "old_fd", "old_flags", "old_path", "old_path_len", "new_fd", "new_path"),
	wasi("path_readlink", zeroThen(5, wasiNotsup), true, "fd", "path", "path_len", "buf", "buf_len", "nread"),
	wasi("path_rename", answer(wasiNotsup), true, "fd", "old_path", "old_path_len", "new_fd", "new_path", "new_path_len"),
	wasi("path_symlink", answer(wasiNotsup), true, "old_path", "old_path_len", "fd", "new_path"),
	wasi("path_unlink_file", answer(wasiNotsup), true, "fd", "path", "path_len"),

	wasi("sock_accept", zeroLongThen(2, wasiNotsup), true, "fd", "flags", "accepted"),
	wasi("sock_recv", zeroThen(4, wasiNotsup), true, "fd", "data", "data_len", "flags", "nread", "oflags"),
	wasi("sock_send", zeroThen(4, wasiNotsup), true, "fd", "data", "data_len", "flags", "nwritten"),
	wasi("sock_shutdown", answer(wasiNotsup), true, "fd", "how"),
}

// wasi is a WASI function; a parameter whose name ends in * has 64 bits.
func wasi(name string, run func(*VM, args) Status, early bool, names ...string) hostcall {
	c := hostcall{name: name, run: run, early: early, wasi: true}
	for _, n := range names {
		if last := len(n) - 1; n[last] == '*' {
			c.params = append(c.params, param{n[:last], long})
		} else {
			c.params = append(c.params, param{n, word})
		}
	}
	return c
}

func answer(errno Status) func(*VM, args) Status {
	return func(*VM, args) Status { return errno }
}

// onStdio answers success for stdout and stderr, and "bad file descriptor" for others.
func onStdio(_ *VM, p args) Status {
	if !stdio(p.word(0)) {
		return wasiBadf
	}
	return 0
}

func stdio(fd uint32) bool { return fd == 1 || fd == 2 }

// zeroThen writes 32 bits of zero where parameter i points, and answers errno.
func zeroThen(i int, errno Status) func(*VM, args) Status {
	return func(vm *VM, p args) Status {
		if !vm.setWord(p.word(i), 0) {
			return wasiFault
		}
		return errno
	}
}

func zeroLongThen(i int, errno Status) func(*VM, args) Status {
	return func(vm *VM, p args) Status {
		if !vm.setLong(p.word(i), 0) {
			return wasiFault
		}
		return errno
	}
}

// maxIovs bounds a list of parts; more of them fit in no reasonable log line.
const maxIovs = 1024

// write adds the parts to stdout or stderr.
func (vm *VM) write(fd, iovs, count uint32) (n uint32, errno Status) {
	if !stdio(fd) {
		return 0, wasiBadf
	}
	if count > maxIovs {
		return 0, wasiInval
	}
	var line []byte
	for i := range count {
		iov, ok := vm.bytes(iovs+8*i, 8)
		if !ok {
			return 0, wasiFault
		}
		part, ok := vm.bytes(binary.LittleEndian.Uint32(iov), binary.LittleEndian.Uint32(iov[4:]))
		if !ok {
			return 0, wasiFault
		}
		line = append(line, part...)
		if len(line) > maxPairsBytes {
			return 0, wasiInval // a thousand parts of the whole memory each would be a bomb
		}
	}
	n = uint32(len(line)) //nolint:gosec // bounded above
	vm.output[fd-1].write(vm, line)
	return n, 0
}

func fdWrite(vm *VM, p args) Status { return vm.wrote(p, p.word(3)) }

func fdPwrite(vm *VM, p args) Status { return vm.wrote(p, p.word(4)) }

func (vm *VM) wrote(p args, result uint32) Status {
	n, errno := vm.write(p.word(0), p.word(1), p.word(2))
	if errno == 0 && !vm.setWord(result, n) {
		return wasiFault
	}
	return errno
}

func fdFdstat(vm *VM, p args) Status {
	const rightToWrite = 64
	if !stdio(p.word(0)) {
		return wasiBadf
	}
	stat, ok := vm.bytes(p.word(1), 24)
	if ok {
		clear(stat)
		binary.LittleEndian.PutUint64(stat[8:], rightToWrite)
	}
	return 0
}

func fdRenumber(_ *VM, p args) Status {
	if !stdio(p.word(0)) || !stdio(p.word(1)) {
		return wasiBadf
	}
	return wasiNotsup
}

func fdTell(vm *VM, p args) Status {
	if !stdio(p.word(0)) {
		return wasiBadf
	}
	return faultUnless(vm.setLong(p.word(1), 0))
}

func environGet(vm *VM, p args) Status {
	list, text := p.word(0), p.word(1)
	for _, entry := range vm.env {
		if !vm.setWord(list, text) {
			return wasiFault
		}
		to, ok := vm.bytes(text, uint32(len(entry)+1)) //nolint:gosec // far below 4 G
		if !ok {
			return wasiFault
		}
		copy(to, entry)
		to[len(entry)] = 0
		list, text = list+4, text+uint32(len(to)) //nolint:gosec // far below 4 G
	}
	return 0
}

func environSizes(vm *VM, p args) Status {
	size := 0
	for _, entry := range vm.env {
		size += len(entry) + 1
	}
	return faultUnless(vm.setWord(p.word(0), uint32(len(vm.env))) && vm.setWord(p.word(1), uint32(size))) //nolint:gosec // far below 4 G
}

func argsSizes(vm *VM, p args) Status {
	return faultUnless(vm.setWord(p.word(0), 0) && vm.setWord(p.word(1), 0))
}

func clockTime(vm *VM, p args) Status {
	const clocks = 2 // real time and monotonic, which are one here
	if p.word(0) >= clocks {
		return wasiNotsup
	}
	return faultUnless(vm.setLong(p.word(2), uint64(vm.config.Host.Clock.Now().UnixNano()))) //nolint:gosec // after 1970
}

func clockResolution(vm *VM, p args) Status {
	const clocks = 2
	if p.word(0) >= clocks {
		return wasiNotsup
	}
	return faultUnless(vm.setLong(p.word(1), 1))
}

func randomGet(vm *VM, p args) Status {
	const most = 64 << 10
	if p.word(1) > most {
		return wasiInval
	}
	to, ok := vm.bytes(p.word(0), p.word(1))
	if !ok {
		return wasiFault
	}
	if _, err := io.ReadFull(vm.config.Host.Random, to); err != nil {
		return wasiInval
	}
	return 0
}

// pollOneoff says that nothing happened, at once: Go's runtime "sleeps" with it while it collects garbage.
func pollOneoff(vm *VM, p args) Status { return faultUnless(vm.setWord(p.word(3), 0)) }

func faultUnless(ok bool) Status {
	if !ok {
		return wasiFault
	}
	return 0
}
