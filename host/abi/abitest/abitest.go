// Package abitest makes small proxy-wasm modules for the tests of those who embed package abi: its own tests' assembler,
// as far as an embedder needs it.
//
//	abitest.Module{"proxy_on_request_headers": {Return: abitest.Pause}}.Build()
package abitest

import "github.com/leash-gateway/leash/host/abi/internal/asm"

type (
	// Module is what a module does, by the name of the callback.
	Module = asm.Module
	// Callback is what a module does in a callback: Do, and then return Return.
	Callback = asm.Callback
	// Step is something that a callback does.
	Step = asm.Step
	// Arg is one parameter of a host call.
	Arg = asm.Arg
)

// Pause is what a callback returns that holds its part.
const Pause = 1

// Call calls the host and logs the status, and what the out arguments got.
func Call(name string, args ...Arg) Step { return asm.Call(name, args...) }

// Drop calls the host and does nothing with the status.
func Drop(name string, args ...Arg) Step { return asm.Drop(name, args...) }

// Log logs a line at level info.
func Log(message string) Step { return asm.Log(message) }

// Save remembers an argument in a slot for later callbacks.
func Save(slot int, arg Arg) Step { return asm.Save(slot, arg) }

// Trap ends the VM.
func Trap() Step { return asm.Raw(0x00) }

// PauseUntilEnd returns from a callback for a body: Pause until its last piece has come.
func PauseUntilEnd() Step {
	const localGet, endOfStream, eqz, ret = 0x20, 2, 0x45, 0x0f
	return asm.Raw(localGet, endOfStream, eqz, ret)
}

// Word is a number.
func Word(n uint32) Arg { return asm.Word(n) }

// Param is a parameter of the callback; 0 is the context.
func Param(i byte) Arg { return asm.Param(i) }

// Slot is what Save has put there.
func Slot(slot int) Arg { return asm.Slot(slot) }

// Text is bytes.
func Text(s string) Arg { return asm.Text(s) }

// Pairs is a list of names and values in turn.
func Pairs(namesAndValues ...string) Arg { return asm.Pairs(namesAndValues...) }

// OutBytes is where bytes are to be written. They are logged as a line of their own: "> bytes".
func OutBytes() Arg { return asm.OutBytes() }

// IfEnd begins what a callback for a body does only with its last piece, up to EndIf.
func IfEnd() Step {
	const localGet, endOfStream, ifOp, noResult = 0x20, 2, 0x04, 0x40
	return asm.Raw(localGet, endOfStream, ifOp, noResult)
}

// EndIf ends what IfEnd began.
func EndIf() Step { return asm.Raw(0x0b) }

// Long is a 64-bit number.
func Long(n int64) Arg { return asm.Long(n) }

// OutWord is where 32 bits are to be written, which stay in the slot.
func OutWord(slot int) Arg { return asm.OutQuiet(slot) }
