package translate_test

import (
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/llm/translate"
)

func TestSchemasOfGooglesBecomeJSONSchemas(t *testing.T) {
	for name, tc := range map[string]struct{ schema, want string }{
		"nullable":              {`{"type":"STRING","nullable":true}`, `{"type":["string","null"]}`},
		"nullable enum":         {`{"type":"STRING","format":"enum","enum":["a","b"],"nullable":true}`, `{"format":"enum","type":["string","null"],"enum":["a","b",null]}`},
		"nullable alternatives": {`{"any_of":[{"type":"STRING"},{"type":"INTEGER"}],"nullable":true}`, `{"anyOf":[{"type":"string"},{"type":"integer"},{"type":"null"}]}`},
		"numbers to choose of":  {`{"type":"INTEGER","enum":["101","-7"]}`, `{"type":"integer","enum":[101,-7]}`},
		"no numbers":            {`{"type":"INTEGER","enum":["a","1]","",true]}`, `{"type":"integer","enum":["a","1]","",true]}`},
		"definitions": {
			`{"type":"OBJECT","properties":{"Pet":{"ref":"#/defs/Pet"},"old":{"ref":"#/defs/Pet","nullable":true}},"defs":{"Pet":{"type":"OBJECT","properties":{"Name":{"type":"STRING"}}}}}`,
			`{"properties":{"Pet":{"$ref":"#/$defs/Pet"},"old":{"anyOf":[{"$ref":"#/$defs/Pet"},{"type":"null"}]}},"$defs":{"Pet":{"properties":{"Name":{"type":"string"}},"type":"object"}},"type":"object"}`,
		},
		"a map":              {`{"type":"OBJECT","additionalProperties":{"type":"NUMBER"}}`, `{"additionalProperties":{"type":"number"},"type":"object"}`},
		"nothing besides":    {`{"type":"OBJECT","additional_properties":false}`, `{"additionalProperties":false,"type":"object"}`},
		"no alternatives":    {`{"anyOf":[],"nullable":true}`, `{}`},
		"null":               {`{"type":"ARRAY","items":null,"additionalProperties":null,"properties":{"a":null,"b":{"type":null}},"maxItems":null}`, `{"properties":{"a":{},"b":{}},"type":"array"}`},
		"numbers in strings": {`{"type":"ARRAY","maxItems":"5","minItems":"some","minLength":"1]}"}`, `{"maxItems":5,"type":"array"}`},
		"what is not known":  {`{"type":"STRING","x\":1}],\"messages\":[],\"y":2}`, `{"type":"string"}`},
	} {
		t.Run(name, func(t *testing.T) {
			x := begin(t, llm.GoogleGenerate, translate.Chat)
			got, err := x.Request("m", []byte(requestWith(translate.Gemini, `"generationConfig":{"responseMimeType":"application/json","responseSchema":`+tc.schema+`},`+
				`"tools":[{"functionDeclarations":[{"name":"f","parameters":`+tc.schema+`}]}]`)))
			if err != nil {
				t.Fatal(err)
			}
			readable(t, got)
			asked, parameters := gjson.GetBytes(got.Body, "response_format.json_schema.schema").Raw, gjson.GetBytes(got.Body, "tools.0.function.parameters").Raw
			if asked != tc.want || parameters != tc.want || strings.Count(string(got.Body), `"messages"`) != 1 {
				t.Errorf("got %s and %s, want %s", asked, parameters, tc.want)
			}
		})
	}
}

// TestObjectsOfAnAnswerAreClosedWhereTheProviderDemandsIt: clients of OpenAI's (but for strict ones) and of Google's leave that out.
func TestObjectsOfAnAnswerAreClosedWhereTheProviderDemandsIt(t *testing.T) {
	for schema, want := range map[string]string{
		`{"type":"object","properties":{"a":{"type":"object","properties":{"type":{"type":"string"}}},"properties":{"type":["object","null"]}}}`: `{"type":"object","properties":{"a":{"type":"object",` +
			`"properties":{"type":{"type":"string"}},"additionalProperties":false},"properties":{"type":["object","null"],"additionalProperties":false}},"additionalProperties":false}`,
		`{"anyOf":[{"$ref":"#/$defs/a"},{"type":"null"}],"$defs":{"a":{"items":{"type":"object"},"type":"array","default":null}}}`: `{"anyOf":[{"$ref":"#/$defs/a"},{"type":"null"}],"$defs":{"a":{` +
			`"items":{"type":"object","additionalProperties":false},"type":"array","default":null}}}`,
		`{"type":"object","additionalProperties":{"type":"string"}}`: `{"type":"object","additionalProperties":{"type":"string"}}`,
		`{"type":"object","additionalProperties":false}`:             `{"type":"object","additionalProperties":false}`,
		`{"type":"array","items":true,"enum":["object"]}`:            `{"type":"array","items":true,"enum":["object"]}`,
	} {
		format := `"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":` + schema + `}}`
		if body, _ := asked(t, translate.Messages, "m", format); gjson.Get(body, "output_config.format.schema").Raw != want {
			t.Errorf("got  %s\nwant %s", body, want)
		}
		if body, _ := asked(t, translate.Converse, "m", format); gjson.Get(body, "outputConfig.textFormat.structure.jsonSchema.schema").Str != want {
			t.Errorf("got  %s\nwant %s", body, want)
		}
		if body, _ := asked(t, translate.Gemini, "m", format); gjson.Get(body, "generationConfig.responseJsonSchema").Raw != schema {
			t.Errorf("Google's is %s, want %s", body, schema)
		}
	}
}
