#ifndef TESTS_SUPPORT_METRICS_H
#define TESTS_SUPPORT_METRICS_H

/*
 * What holds for the text of every /metrics: each family is in
 * docs/METRICS.md, and where Prometheus is installed its own tool, promtool, is
 * content. Returns NULL, or the name of a family, or "promtool".
 */
const char *metrics_breach(const char *text);

#endif
