{{- /* What a schema can't tell, since it is about several values at once. */ -}}
{{- define "credd.check" -}}
{{- $fullname := include "credd.fullname" . }}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $fullname) }}
{{- fail (printf "%s: is no name that a Service may have, with a letter first and without dots: take another release name, or set fullnameOverride" $fullname) }}
{{- end }}
{{- if .Values.store.createUntil }}{{ $_ := mustToDate "2006-01-02T15:04:05Z" .Values.store.createUntil }}{{ end }}
{{- with .Values.maintenance.args }}
{{- if and (has "admin" .) (has "recover" .) }}
{{- fail "maintenance.args: nobody could read the token that `admin recover` makes: change administrators instead" }}
{{- end }}
{{- end }}
{{- $shutdown := int .Values.config.server.shutdown_seconds }}
{{- if lt (int (include "credd.gracePeriod" .)) $shutdown }}
{{- fail (printf "terminationGracePeriodSeconds: %v is less than config.server.shutdown_seconds, %d: calls would be cut off" .Values.terminationGracePeriodSeconds $shutdown) }}
{{- end }}
{{- include "credd.checkTls" . }}
{{- include "credd.checkCallers" . }}
{{- include "credd.checkEtcd" . }}
{{- include "credd.checkConfig" . }}
{{- end }}

{{- define "credd.checkTls" -}}
{{- $given := list }}
{{- if .Values.tls.existingSecret }}{{ $given = append $given "tls.existingSecret" }}{{ end }}
{{- if .Values.tls.certManager.issuerRef.name }}{{ $given = append $given "tls.certManager.issuerRef.name" }}{{ end }}
{{- if .Values.tls.allowPlaintext }}{{ $given = append $given "tls.allowPlaintext" }}{{ end }}
{{- if ne (len $given) 1 }}
{{- fail (printf "tls: give one of existingSecret, certManager.issuerRef.name and allowPlaintext; there is %s" (default "none" (join " and " $given))) }}
{{- end }}
{{- if and .Values.tls.clientCa.enabled .Values.tls.allowPlaintext }}
{{- fail "tls.clientCa: there are no certificates of clients with tls.allowPlaintext" }}
{{- end }}
{{- if and .Values.tls.requireClientCertificate (not .Values.tls.clientCa.enabled) }}
{{- fail "tls.requireClientCertificate: needs tls.clientCa.enabled" }}
{{- end }}
{{- end }}

{{- /* Those who are bound can come, and none is bound twice. */ -}}
{{- define "credd.checkCallers" -}}
{{- $issuer := .Values.kubernetesIssuer }}
{{- $seen := list }}
{{- range $key := list "administrators" "bindings" }}
{{- range index $.Values $key }}
{{- $principal := include "credd.principal" (list $ .) }}
{{- if and .serviceAccount (not $issuer.enabled) }}
{{- fail (printf "%s: a service account is known by its token alone: enable kubernetesIssuer" $key) }}
{{- end }}
{{- if and (regexMatch "^(dns:|spiffe://)" $principal) (not $.Values.tls.clientCa.enabled) }}
{{- fail (printf "%s: %s is known by a certificate alone: set tls.clientCa.enabled" $key $principal) }}
{{- end }}
{{- if gt (len $principal) 256 }}
{{- fail (printf "%s: %s has more than 256 characters" $key $principal) }}
{{- end }}
{{- if and (hasPrefix "jwt:" $principal) (not .serviceAccount) }}
{{- $named := regexFind "^[^#]+" $principal | trimPrefix "jwt:" }}
{{- if not (or (and $issuer.enabled (eq $named $issuer.issuer)) (contains $named (default "" $.Values.extraConfig))) }}
{{- fail (printf "%s: %s names an issuer that is neither kubernetesIssuer nor in extraConfig" $key $principal) }}
{{- end }}
{{- end }}
{{- $binding := printf "%s has the role %s on %s" $principal (default "administrator" .role) (default "*" .tenant) }}
{{- if has $binding $seen }}
{{- fail (printf "%s: %s already" $key $binding) }}
{{- end }}
{{- $seen = append $seen $binding }}
{{- end }}
{{- end }}
{{- end }}

{{- define "credd.checkEtcd" -}}
{{- if eq .Values.store.engine "etcd" }}
{{- with .Values.store.etcd }}
{{- if and (or .user .clientCertificate) (not .existingSecret) }}
{{- fail "store.etcd.existingSecret: is needed for user and clientCertificate" }}
{{- end }}
{{- if and (contains "http://" (join "," .endpoints)) (not .allowPlaintext) }}
{{- fail "store.etcd.endpoints: http:// needs store.etcd.allowPlaintext" }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* What the program would refuse at its start, when the pod before has ended. */ -}}
{{- define "credd.checkConfig" -}}
{{- $config := .Values.config }}
{{- range splitList "," (dig "server" "log" "info" $config) }}
{{- if not (regexMatch "(?i)^([-:_a-z0-9]+=)?(error|warn|info|debug|trace|off|[0-5])$|\\[" .) }}
{{- fail (printf "config.server.log: %q is neither a level nor a directive such as `credd::store=debug`" .) }}
{{- end }}
{{- end }}
{{- $limits := default (dict) $config.limits }}
{{- if and (int $limits.burst_per_caller) (not (int $limits.requests_per_second_per_caller)) }}
{{- fail "config.limits.burst_per_caller: is for requests_per_second_per_caller, which is 0: no limit" }}
{{- end }}
{{- $urls := dict "store.etcd.endpoints" .Values.store.etcd.endpoints "kubernetesIssuer.jwksUrl" (list .Values.kubernetesIssuer.jwksUrl) "config.traces.endpoint" (list (dig "traces" "endpoint" "" $config)) }}
{{- range $name, $of := $urls }}
{{- range $of }}
{{- if gt (int (include "credd.port" (list . 0))) 65535 }}
{{- fail (printf "%s: %s has no port that there is" $name .) }}
{{- end }}
{{- end }}
{{- end }}
{{- /* What stands before the first table would be of the last binding. */ -}}
{{- $tables := "^\\[\\[ *(roles|bindings|jwt_issuers) *\\]\\]" }}
{{- $begun := false }}
{{- range splitList "\n" (default "" .Values.extraConfig) }}
{{- $line := trim . }}
{{- if or (hasPrefix "[" $line) (not (or $begun (eq $line "") (hasPrefix "#" $line))) }}
{{- if not (regexMatch $tables $line) }}
{{- fail (printf "extraConfig: %q: nothing but tables of [[roles]], [[bindings]] and [[jwt_issuers]] stands there: the chart writes the others from `config`" $line) }}
{{- end }}
{{- $begun = true }}
{{- end }}
{{- end }}
{{- end }}
