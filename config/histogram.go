package config

// HistogramBounds are the upper bounds of what modules measure, in the unit of the metric, mostly milliseconds: the same in all engines, so that
// a dashboard is too. They are Envoy's own, and between 10 s and 5 min, where answers of models lie, as close as those of the conventions
// for generative AI (https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/#metric-gen_aiclientoperationduration), and on.
// https://github.com/envoyproxy/envoy/blob/v1.40.0/source/common/stats/histogram_impl.cc
var HistogramBounds = [...]float64{
	0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 20_000, 30_000, 45_000, 60_000, 90_000, 120_000, 180_000, 300_000,
	600_000, 1_800_000, 3_600_000,
}
