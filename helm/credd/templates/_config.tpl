{{- /* The lines of a section of credd.toml. What is JSON of a text, a number or a list
of them is TOML, too. */ -}}
{{- define "credd.tomlLines" -}}
{{- range $key, $value := . }}
{{ $key }} = {{ $value | toJson }}
{{- end }}
{{- end }}

{{- /* Of what is read at a start alone: the level of the log is read anew when it changes. */ -}}
{{- define "credd.tomlHash" -}}
{{- regexReplaceAll "(?m)^log = .*\n" (include "credd.toml" .) "" | sha256sum }}
{{- end }}

{{- define "credd.toml" -}}
{{- $values := .Values }}
{{- $config := .Values.config }}
{{- $address := .Values.listenAddress }}
{{- $server := dict "listen" (printf "%s:7420" $address) "metrics_listen" (printf "%s:7421" $address) "health_listen" (printf "%s:7422" $address) }}
{{- if .Values.tls.allowPlaintext }}{{ $_ := set $server "allow_plaintext" true }}{{ end }}
{{- $tls := dict }}
{{- if include "credd.tlsSecret" . }}
{{- $tls = dict "certificate" "/etc/credd/tls/tls.crt" "key" "/etc/credd/tls/tls.key" }}
{{- if .Values.tls.clientCa.enabled }}{{ $_ := set $tls "client_ca" (printf "/etc/credd/client-ca/%s" .Values.tls.clientCa.key) }}{{ end }}
{{- if .Values.tls.requireClientCertificate }}{{ $_ := set $tls "require_client_certificate" true }}{{ end }}
{{- end }}
{{- $store := dict "engine" .Values.store.engine "data_dir" "/var/lib/credd/data" }}
{{- $etcd := dict }}
{{- if eq .Values.store.engine "etcd" }}
{{- with .Values.store.etcd }}
{{- $etcd = dict "endpoints" (join "," .endpoints) "prefix" .prefix "may_compact" .mayCompact "allow_plaintext" .allowPlaintext }}
{{- if .user }}{{ $_ := set $etcd "user" .user }}{{ $_ := set $etcd "password_file" "/etc/credd/etcd/password" }}{{ end }}
{{- if and .existingSecret (contains "https://" (join "," .endpoints)) }}{{ $_ := set $etcd "ca_file" "/etc/credd/etcd/ca.crt" }}{{ end }}
{{- if .clientCertificate }}{{ $_ := set $etcd "certificate_file" "/etc/credd/etcd/tls.crt" }}{{ $_ := set $etcd "key_file" "/etc/credd/etcd/tls.key" }}{{ end }}
{{- end }}
{{- end }}
{{- $keyring := dict "file" (printf "/etc/credd/keyring/%s" .Values.keyring.key) }}
{{- $sections := dict "server" $server "tls" $tls "store" $store "etcd" $etcd "keyring" $keyring }}
{{- range $name := concat (keys $sections) (keys $config) | uniq | sortAlpha }}
{{- $lines := mergeOverwrite (dict) (deepCopy (default (dict) (index $config $name))) (default (dict) (index $sections $name)) }}
{{- if $lines }}
[{{ $name }}]
{{- include "credd.tomlLines" $lines }}
{{ end }}
{{- end }}
{{- with .Values.kubernetesIssuer }}
{{- if .enabled }}
[[jwt_issuers]]
issuer = {{ .issuer | toJson }}
audiences = {{ .audiences | toJson }}
jwks_url = {{ .jwksUrl | toJson }}
{{- if .inCluster }}
jwks_ca_file = "/var/run/secrets/credd/issuer/ca.crt"
jwks_token_file = "/var/run/secrets/credd/issuer/token"
{{- end }}
refresh_seconds = {{ .refreshSeconds | toJson }}
leeway_seconds = {{ .leewaySeconds | toJson }}
{{ end }}
{{- end }}
{{- range .Values.administrators }}
[[bindings]]
principal = {{ include "credd.principal" (list $ .) | toJson }}
role = "administrator"
tenant = "*"
{{ end }}
{{- range .Values.bindings }}
[[bindings]]
principal = {{ include "credd.principal" (list $ .) | toJson }}
role = {{ .role | toJson }}
tenant = {{ .tenant | toJson }}
{{ end }}
{{- with .Values.extraConfig }}
{{ . }}
{{- end }}
{{- end }}
