package tracing

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	api "go.opentelemetry.io/otel/trace"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/llm"
)

// A record is what the modules tracer and provider write.
type record struct {
	Event  string
	Trace  string
	State  string
	Format string
	Status int

	// Of an exchange.
	Span, Parent    string
	Start, End      int64  // nanoseconds since 1970, as all times
	RequestID       string `json:"request_id"`
	Tenant, Key     string
	User            string
	Address         string // of the client
	Method, Path    string
	Secure          bool   // by TLS
	Model           string // as the client names it
	RefusedBy       string `json:"refused_by"`
	Error           string
	Stream          bool
	CostPicodollars *int64 `json:"cost_picodollars"`

	// Of an attempt.
	Attempt      string // its span
	AttemptStart int64  `json:"attempt_start"`
	Number       int
	Provider     string
	AskedModel   string `json:"asked_model"`
	MaxTokens    int    `json:"max_tokens"`
	Choices      int
	ID           string
	AnswerModel  string `json:"answer_model"`
	Finish       []string
	First        int64 // its first text
	Input        *int
	Output       *int
	Cached       int
	CacheWrite   int `json:"cache_write"`
	Reasoning    int
	InputAudio   int    `json:"input_audio"`
	OutputAudio  int    `json:"output_audio"`
	AttemptError string `json:"attempt_error"`
	Prompt       string
	Completion   string
}

// Events of records.
const (
	ofExchange = "span.exchange"
	ofAttempt  = "span.attempt"
)

// record makes spans of a record, and says how many.
func (s *Sender) record(line []byte) (spans int, err error) {
	var r record
	if err := json.Unmarshal(line, &r); err != nil {
		return 0, fmt.Errorf("read a record: %w", err)
	}
	id, err := api.TraceIDFromHex(r.Trace)
	if err != nil {
		return 0, fmt.Errorf("read a record: trace: %w", err)
	}
	if r.Attempt != "" {
		if err := s.attempt(&r, id); err != nil {
			return 0, err
		}
		spans++
	}
	if r.Event == ofExchange {
		if err := s.exchange(&r, id); err != nil {
			return spans, err
		}
		spans++
	}
	return spans, nil
}

// exchange is the span of an exchange as the client sees it:
// https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server
func (s *Sender) exchange(r *record, id api.TraceID) error {
	route := routeOf(r)
	name, scheme := r.Method, "http"
	if r.Secure {
		scheme = "https"
	}
	attributes := list{
		attribute.String("http.request.method", r.Method), attribute.String("url.path", r.Path), attribute.String("url.scheme", scheme),
		attribute.String("leash.request_id", r.RequestID),
	}
	if route != "" {
		name += " " + route
	}
	attributes.text("http.route", route)
	attributes.count("http.response.status_code", r.Status)
	attributes.text("error.type", r.Error)
	attributes.text("client.address", r.Address)
	attributes.text("leash.tenant", r.Tenant)
	attributes.text("leash.key", r.Key)
	attributes.text("leash.user", r.User)
	attributes.text("leash.model", r.Model)
	attributes.text("leash.refused_by", r.RefusedBy)
	if r.CostPicodollars != nil {
		attributes = append(attributes, attribute.Int64("leash.cost_picodollars", *r.CostPicodollars))
	}
	failed := ""
	if r.Error != "" && (r.Status >= 500 || r.Status < 400 && r.RefusedBy == "") { // what the client has done wrong is no error of a server
		failed = r.Error
	}
	return s.span(place{id, r.Span, r.Parent, r.State, r.Parent != ""}, name, api.SpanKindServer, r.Start, r.End, attributes, failed)
}

// routeOf is the path without what a client chooses in it.
func routeOf(r *record) string {
	switch format := llm.FormatNamed(r.Format); {
	case format == llm.None:
		return ""
	case format == llm.GoogleModels || format.Family() != llm.Google:
		return r.Path
	default:
		return "/v1beta/models/{model}:" + format.GoogleMethod()
	}
}

// attempt is the span of an attempt at a provider:
// https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/client-inference.md
func (s *Sender) attempt(r *record, id api.TraceID) error {
	operation := operationOf(llm.FormatNamed(r.Format))
	to := s.targets[r.Provider]
	attributes := list{
		attribute.String("gen_ai.operation.name", operation), attribute.String("gen_ai.provider.name", cmp.Or(to.system, r.Provider)),
		attribute.String("leash.provider", r.Provider), attribute.Int("leash.attempt", r.Number),
	}
	attributes.text("gen_ai.request.model", r.AskedModel)
	if to.address != "" {
		attributes = append(attributes, attribute.String("server.address", to.address), attribute.Int("server.port", to.port))
	}
	if r.Stream {
		attributes = append(attributes, attribute.Bool("gen_ai.request.stream", true))
	}
	attributes.count("gen_ai.request.max_tokens", r.MaxTokens)
	if r.Choices > 1 {
		attributes.count("gen_ai.request.choice.count", r.Choices)
	}
	attributes.text("gen_ai.response.id", r.ID)
	attributes.text("gen_ai.response.model", r.AnswerModel)
	if len(r.Finish) > 0 {
		attributes = append(attributes, attribute.StringSlice("gen_ai.response.finish_reasons", r.Finish))
	}
	if r.First > 0 {
		attributes = append(attributes, attribute.Float64("gen_ai.response.time_to_first_chunk", time.Duration(r.First-r.AttemptStart).Seconds()))
	}
	if r.Input != nil && r.Output != nil {
		attributes = append(attributes, attribute.Int("gen_ai.usage.input_tokens", *r.Input), attribute.Int("gen_ai.usage.output_tokens", *r.Output))
	}
	attributes.count("gen_ai.usage.cache_read.input_tokens", r.Cached)
	attributes.count("gen_ai.usage.cache_write.input_tokens", r.CacheWrite)
	attributes.count("gen_ai.usage.reasoning.output_tokens", r.Reasoning)
	attributes.count("gen_ai.usage.audio.input_tokens", r.InputAudio)
	attributes.count("gen_ai.usage.audio.output_tokens", r.OutputAudio)
	attributes.text("gen_ai.input.messages", r.Prompt)
	attributes.text("gen_ai.output.messages", r.Completion)
	attributes.count("http.response.status_code", r.Status)
	attributes.text("error.type", r.AttemptError)
	name := operation
	if r.AskedModel != "" {
		name += " " + r.AskedModel
	}
	at, start := place{id, r.Attempt, r.Span, r.State, false}, r.AttemptStart
	if r.Event == ofAttempt {
		at.parent = r.Parent
	}
	return s.span(at, name, api.SpanKindClient, start, r.End, attributes, r.AttemptError)
}

// operationOf is what gen_ai.operation.name calls what a format is for.
func operationOf(f llm.Format) string {
	switch f {
	case llm.OpenAICompletions:
		return "text_completion"
	case llm.OpenAIEmbeddings, llm.GoogleEmbed, llm.GoogleBatchEmbed:
		return "embeddings"
	case llm.GoogleGenerate, llm.GoogleStream:
		return "generate_content"
	case llm.AnthropicCountTokens, llm.GoogleCountTokens:
		return "count_tokens" // which the conventions have no name for
	default:
		return "chat"
	}
}

// A list is attributes, of which those that say nothing are left out.
type list []attribute.KeyValue

func (l *list) text(name, value string) {
	if value != "" {
		*l = append(*l, attribute.String(name, value))
	}
}

func (l *list) count(name string, value int) {
	if value > 0 {
		*l = append(*l, attribute.Int(name, value))
	}
}

// A place is where a span stands.
type place struct {
	trace        api.TraceID
	span, parent string
	state        string
	remote       bool // the parent is the client's
}

// span makes one. failed says what went wrong, if anything did.
func (s *Sender) span(at place, name string, kind api.SpanKind, start, end int64, attributes []attribute.KeyValue, failed string) error {
	id, err := api.SpanIDFromHex(at.span)
	if err != nil {
		return fmt.Errorf("read a record: span: %w", err)
	}
	ctx := context.WithValue(context.Background(), idsKey{}, ids{at.trace, id})
	if at.parent != "" {
		parent, err := api.SpanIDFromHex(at.parent)
		if err != nil {
			return fmt.Errorf("read a record: parent: %w", err)
		}
		state, _ := api.ParseTraceState(at.state) // one that cannot be read is as none
		ctx = api.ContextWithSpanContext(ctx, api.NewSpanContext(api.SpanContextConfig{
			TraceID: at.trace, SpanID: parent, TraceFlags: api.FlagsSampled, TraceState: state, Remote: at.remote,
		}))
	}
	if start <= 0 || end < start {
		return errors.New("read a record: it ends before it starts")
	}
	_, span := s.tracer.Start(ctx, name, api.WithSpanKind(kind), api.WithTimestamp(time.Unix(0, start)), api.WithAttributes(attributes...))
	if failed != "" {
		span.SetStatus(codes.Error, failed)
	}
	span.End(api.WithTimestamp(time.Unix(0, end)))
	return nil
}

// ids are a span's own, which the modules have given it.
type ids struct {
	trace api.TraceID
	span  api.SpanID
}

type idsKey struct{}

// given lets spans have the ids that the modules have given them: providers may have been told already.
type given struct{}

// NewIDs is for a span without a parent.
func (given) NewIDs(ctx context.Context) (api.TraceID, api.SpanID) {
	of, _ := ctx.Value(idsKey{}).(ids)
	return of.trace, of.span
}

// NewSpanID is for one that has a parent.
func (g given) NewSpanID(ctx context.Context, _ api.TraceID) api.SpanID {
	_, span := g.NewIDs(ctx)
	return span
}

// A target is what spans tell of a provider.
type target struct {
	system, address string
	port            int
}

// systems are the names that gen_ai.provider.name knows, by the kind of a provider. The others go by the name of their kind.
var systems = map[string]string{
	"google": "gcp.gemini", "vertex": "gcp.vertex_ai", "bedrock": "aws.bedrock", "azure-openai": "azure.ai.openai", "azure-openai-deployments": "azure.ai.openai", "vertex-anthropic": "gcp.vertex_ai", "mistral": "mistral_ai", "xai": "x_ai",
}

func targetOf(p *config.Provider, mock *url.URL) target {
	base := &p.BaseURL.URL
	if mock != nil {
		base = mock
	}
	host, port := config.HostPort(base)
	return target{cmp.Or(systems[p.Kind], p.Kind), host, int(port)}
}
