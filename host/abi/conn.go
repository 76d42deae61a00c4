package abi

// A Conn is one TCP connection of a plugin. Its host's Continue is asked with Downstream, its CloseStream with Downstream or
// Upstream; LocalResponse is never called.
type Conn struct {
	s    Stream // for its place among the contexts
	data [2]*Buffer
}

// NewConn begins a connection: proxy_on_context_create. Close it when it is over.
func (p *Plugin) NewConn(host StreamHost) (*Conn, error) {
	c := &Conn{s: Stream{plugin: p, host: host, id: p.vm.newID()}}
	return c, c.s.create(c)
}

// OnNewConnection tells that the client has connected. On Pause the embedder reads nothing until Continue.
func (c *Conn) OnNewConnection() (Action, error) {
	vm := c.s.plugin.vm
	vm.arguments[0] = uint64(c.s.id)
	return c.phase(vm.calls.newConnection)
}

// OnDownstreamData brings what the client sent; end: it sends no more. On Pause the data is kept, and shown again with what comes next.
func (c *Conn) OnDownstreamData(b *Buffer, end bool) (Action, error) {
	return c.onData(c.s.plugin.vm.calls.downstreamData, 0, b, end)
}

// OnUpstreamData brings what the server sent; end: it sends no more, and so has closed its side as far as the module can see.
func (c *Conn) OnUpstreamData(b *Buffer, end bool) (Action, error) {
	action, err := c.onData(c.s.plugin.vm.calls.upstreamData, 1, b, end)
	if err == nil && end {
		err = c.OnUpstreamClose(UnknownPeer)
	}
	return action, err
}

// OnDownstreamClose tells that the client's connection is closed, and by whom, and ends the connection's context.
func (c *Conn) OnDownstreamClose(by Peer) error {
	if err := c.onClose(c.s.plugin.vm.calls.downstreamConnectionClose, by); err != nil {
		return err
	}
	return c.Close()
}

// OnUpstreamClose tells that the server's connection is closed, and by whom.
func (c *Conn) OnUpstreamClose(by Peer) error {
	return c.onClose(c.s.plugin.vm.calls.upstreamConnectionClose, by)
}

// Close ends the context: proxy_on_done, proxy_on_log, proxy_on_delete. More calls do nothing.
func (c *Conn) Close() error {
	if c.s.closed {
		return nil
	}
	c.s.closed = true
	vm := c.s.plugin.vm
	defer delete(vm.contexts, c.s.id)
	if vm.failure != nil {
		return vm.failure
	}
	for _, end := range []callback{vm.calls.done, vm.calls.log, vm.calls.delete} {
		if err := c.s.end(c, end); err != nil {
			return err
		}
	}
	return nil
}

func (c *Conn) onData(call callback, side int, b *Buffer, end bool) (Action, error) {
	c.data[side] = b
	vm := c.s.plugin.vm
	vm.arguments[0], vm.arguments[1], vm.arguments[2] = uint64(c.s.id), uint64(b.Len()), 0 //nolint:gosec // never negative
	if end {
		vm.arguments[2] = 1
	}
	action, err := c.phase(call)
	if action == Continue {
		c.data[side] = nil
	}
	return action, err
}

func (c *Conn) onClose(call callback, by Peer) error {
	if call.function == nil || c.s.closed {
		return c.s.plugin.vm.failure
	}
	vm := c.s.plugin.vm
	vm.arguments[0], vm.arguments[1] = uint64(c.s.id), uint64(by)
	return vm.callAndSettle(c, call)
}

func (c *Conn) phase(call callback) (action Action, err error) {
	vm := c.s.plugin.vm
	if vm.failure != nil {
		return Continue, vm.failure
	}
	if call.function == nil || c.s.closed {
		return Continue, nil
	}
	result, err := vm.call(c, call, vm.program.engine.deadline)
	if err != nil {
		return Continue, err
	}
	if result != 0 {
		action = Pause
	}
	vm.settle()
	return action, nil
}

func (c *Conn) root() *Plugin     { return c.s.plugin }
func (c *Conn) contextID() uint32 { return c.s.id }
func (c *Conn) stream() *Stream   { return nil }
func (c *Conn) conn() *Conn       { return c }
func (c *Conn) failed(err error) {
	if !c.s.closed {
		c.s.host.Failed(err)
	}
}
