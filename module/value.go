package module

import (
	"github.com/leash-gateway/leash/llm"
)

// A value is a part of a configuration: JSON that has been checked, without space around it. nil is null.
type value []byte

// is says whether the value begins as values of a kind do: { [ " t f, or 0 for numbers.
func (v value) is(first byte) bool {
	if len(v) == 0 {
		return false
	}
	if first == '0' {
		return v[0] == '-' || v[0] >= '0' && v[0] <= '9'
	}
	return v[0] == first
}

// text is what a string means.
func (v value) text() string {
	if !v.is('"') {
		return ""
	}
	return string(llm.AppendMeaning(nil, v))
}

// String is the JSON.
func (v value) String() string {
	if v == nil {
		return "null"
	}
	return string(v)
}

// elements are those of an array.
func (v value) elements() (all []value) {
	c := llm.NewCursor(v, true)
	for a := c.Array(); c.Element(&a); {
		all = append(all, c.Raw())
	}
	return all
}

// A member is one of an object.
type member struct {
	name  string
	value value
}

// members are those of an object, in their order.
func (v value) members() (all []member) {
	c := llm.NewCursor(v, true)
	for o := c.Members(); c.Member(&o); {
		name := value(o.Name).text()
		all = append(all, member{name, c.Raw()})
	}
	return all
}

// has says whether an object has a member.
func (v value) has(name string) bool {
	for _, m := range v.members() {
		if m.name == name {
			return true
		}
	}
	return false
}
