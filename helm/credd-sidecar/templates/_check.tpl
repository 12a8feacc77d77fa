{{- /* What a schema can't tell, since it is about several values at once, or about the chart
that has this one as a part. */ -}}
{{- define "credd-sidecar.check" -}}
{{- $values := index .Values "credd-sidecar" -}}
{{- if not $values }}
{{- fail "credd-sidecar: there are no values of that name, so there would be no sidecar: give the dependency no alias, and include its templates with the values of the whole chart" }}
{{- end }}
{{- with $values }}
{{- $addresses := splitList "," .authority.address }}
{{- if ne (len $addresses) (len (uniq $addresses)) }}
{{- fail "credd-sidecar.authority.address: has an address twice" }}
{{- end }}
{{- range $addresses }}
{{- if gt (int (regexFind "[0-9]+$" .)) 65535 }}
{{- fail (printf "credd-sidecar.authority.address: %s has no port that there is" .) }}
{{- end }}
{{- if and (hasPrefix "http://" .) (not $values.authority.allowPlaintext) }}
{{- fail "credd-sidecar.authority.address: http:// needs credd-sidecar.authority.allowPlaintext" }}
{{- end }}
{{- end }}
{{- if gt (int (include "credd-sidecar.tracesPort" $)) 65535 }}
{{- fail (printf "credd-sidecar.tracesEndpoint: %s has no port that there is" .tracesEndpoint) }}
{{- end }}
{{- if and .authority.ca.configMap .authority.ca.secret }}
{{- fail "credd-sidecar.authority.ca: give one of configMap and secret" }}
{{- end }}
{{- $ports := without (list (int .port) (int .healthPort) (int .metricsPort)) 0 }}
{{- if ne (len $ports) (len (uniq $ports)) }}
{{- fail "credd-sidecar: port, healthPort and metricsPort must be three" }}
{{- end }}
{{- range splitList "," .log }}
{{- if not (regexMatch "(?i)^([-:_a-z0-9]+=)?(error|warn|info|debug|trace|off|[0-5])$|\\[" .) }}
{{- fail (printf "credd-sidecar.log: %q is neither a level nor a directive such as `credd::sidecar=debug`" .) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
