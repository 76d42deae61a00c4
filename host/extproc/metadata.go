package extproc

import (
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/structpb"
)

// MetadataNamespace is under which Envoy gets, as dynamic metadata, what modules have set as properties. Envoy takes it
// if the filter's metadata_options.receiving_namespaces name it, and can log it, for example, as
// %DYNAMIC_METADATA(leash:NAME)%.
const MetadataNamespace = "leash"

// publish has a property that a module has set told to Envoy, with the answer that comes next. Metadata is text, so a
// value that is not stays here.
func (x *exchange) publish(path string, value []byte) {
	if x.observing || !utf8.Valid(value) {
		return
	}
	if x.metadata == nil {
		x.metadata = &structpb.Struct{Fields: map[string]*structpb.Value{MetadataNamespace: structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{}})}}
	}
	name := strings.ToValidUTF8(strings.ReplaceAll(path, "\x00", "."), "?")
	text := strings.ReplaceAll(string(value), "\x00", " ") // which modules put between the parts of a value
	x.metadata.GetFields()[MetadataNamespace].GetStructValue().GetFields()[name] = structpb.NewStringValue(text)
}
