package mock

import (
	"slices"
	"strconv"

	"github.com/tidwall/gjson"
)

// The checks of single values, with the words that OpenAI refuses them with.

func parseObject(body []byte) (gjson.Result, *apiError) {
	if !gjson.ValidBytes(body) {
		return gjson.Result{}, &apiError{status: 400, kind: invalidRequest, message: "We could not parse the JSON body of your request. (HINT: This likely means you aren't " +
			"using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)"}
	}
	root := gjson.ParseBytes(body)
	if !root.IsObject() {
		return root, wrongType("body", "an object", root)
	}
	return root, nil
}

func missing(parameter string) *apiError {
	return &apiError{status: 400, kind: invalidRequest, parameter: parameter, code: "missing_required_parameter",
		message: "Missing required parameter: '" + parameter + "'."}
}

func wrongType(parameter, want string, got gjson.Result) *apiError {
	return &apiError{status: 400, kind: invalidRequest, parameter: parameter, code: "invalid_type",
		message: "Invalid type for '" + parameter + "': expected " + want + ", but got " + typeName(got) + " instead."}
}

func typeName(v gjson.Result) string {
	switch {
	case v.IsObject():
		return "an object"
	case v.IsArray():
		return "an array"
	case v.IsBool():
		return "a boolean"
	case v.Type == gjson.String:
		return "a string"
	case v.Type == gjson.Number:
		if _, err := strconv.ParseInt(v.Raw, 10, 64); err != nil {
			return "a decimal number"
		}
		return "an integer"
	default:
		return "null"
	}
}

func asModel(v gjson.Result) (string, *apiError) {
	switch {
	case !v.Exists() || v.Type == gjson.Null:
		return "", &apiError{status: 400, kind: invalidRequest, message: "you must provide a model parameter"}
	case v.Type != gjson.String:
		return "", wrongType("model", "a string", v)
	}
	return v.Str, nil
}

func asBool(v gjson.Result, parameter string) (bool, *apiError) {
	if !v.IsBool() {
		return false, wrongType(parameter, "a boolean", v)
	}
	return v.Bool(), nil
}

// asInt reads a whole number from 1 to high; of any size where high is 0.
func asInt(v gjson.Result, parameter string, high int64) (int64, *apiError) {
	n, err := strconv.ParseInt(v.Raw, 10, 64)
	switch {
	case v.Type != gjson.Number || err != nil:
		return 0, wrongType(parameter, "an integer", v)
	case n < 1:
		return 0, outOfRange(parameter, "integer below minimum", ">= 1", v, "integer_below_min_value")
	case high != 0 && n > high:
		return 0, outOfRange(parameter, "integer above maximum", "<= "+strconv.FormatInt(high, 10), v, "integer_above_max_value")
	}
	return n, nil
}

func asNumber(v gjson.Result, parameter string, low, high float64) *apiError {
	switch {
	case v.Type != gjson.Number:
		return wrongType(parameter, "a decimal", v)
	case v.Num < low:
		return outOfRange(parameter, "decimal below minimum", ">= "+strconv.FormatFloat(low, 'g', -1, 64), v, "decimal_below_min_value")
	case v.Num > high:
		return outOfRange(parameter, "decimal above maximum", "<= "+strconv.FormatFloat(high, 'g', -1, 64), v, "decimal_above_max_value")
	}
	return nil
}

func outOfRange(parameter, what, want string, got gjson.Result, code string) *apiError {
	return &apiError{status: 400, kind: invalidRequest, parameter: parameter, code: code,
		message: "Invalid '" + parameter + "': " + what + " value. Expected a value " + want + ", but got " + got.Raw + " instead."}
}

func asStops(v gjson.Result) ([]string, *apiError) {
	if v.Type == gjson.String {
		return []string{v.Str}, nil
	}
	if !v.IsArray() {
		return nil, wrongType("stop", "one of a string or array of strings", v)
	}
	var stops []string
	for i, s := range v.Array() {
		if s.Type != gjson.String {
			return nil, wrongType("stop["+strconv.Itoa(i)+"]", "a string", s)
		}
		stops = append(stops, s.Str)
	}
	if len(stops) > maxStops {
		return nil, &apiError{status: 400, kind: invalidRequest, parameter: "stop", code: "array_above_max_length",
			message: "Invalid 'stop': array too long. Expected an array with maximum length 4, but got an array with length " + strconv.Itoa(len(stops)) + " instead."}
	}
	return stops, nil
}

// findModel refuses a model that there is not.
func (p *Provider) findModel(name string) *apiError {
	if p.open || slices.Contains(p.models, name) {
		return nil
	}
	return &apiError{status: 404, kind: invalidRequest, code: "model_not_found",
		message: "The model `" + name + "` does not exist or you do not have access to it."}
}
