{{- define "credd.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* Short enough for whatever is put behind it. */ -}}
{{- define "credd.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "credd.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "credd.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "credd.selectorLabels" -}}
app.kubernetes.io/name: {{ include "credd.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: server
{{- end }}

{{- /* What every object has. */ -}}
{{- define "credd.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "credd.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: credd
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* What every object has, and further labels, which win. */ -}}
{{- define "credd.labelsWith" -}}
{{- mergeOverwrite (include "credd.labels" (index . 0) | fromYaml) (default (dict) (index . 1)) | toYaml }}
{{- end }}

{{- define "credd.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "credd.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "credd.image" -}}
{{- with .Values.image }}
{{- if .digest }}
{{- printf "%s@%s" .repository .digest }}
{{- else }}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The Secret of the server's certificate; empty: plaintext. */ -}}
{{- define "credd.tlsSecret" -}}
{{- if .Values.tls.existingSecret }}
{{- .Values.tls.existingSecret }}
{{- else if .Values.tls.certManager.issuerRef.name }}
{{- printf "%s-tls" (include "credd.fullname" .) }}
{{- end }}
{{- end }}

{{- define "credd.gracePeriod" -}}
{{- $shutdown := int .Values.config.server.shutdown_seconds }}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds }}
{{- add $shutdown 5 }}
{{- else }}
{{- int .Values.terminationGracePeriodSeconds }}
{{- end }}
{{- end }}

{{- /* The name by which credd knows who is bound. */ -}}
{{- define "credd.principal" -}}
{{- $root := index . 0 }}{{ $who := index . 1 }}
{{- if $who.principal }}
{{- $who.principal }}
{{- else }}
{{- printf "jwt:%s#system:serviceaccount:%s:%s" $root.Values.kubernetesIssuer.issuer $who.serviceAccount.namespace $who.serviceAccount.name }}
{{- end }}
{{- end }}

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
{{- if not .Values.kubernetesIssuer.enabled }}
{{- range $key := list "administrators" "bindings" }}
{{- range index $.Values $key }}
{{- if .serviceAccount }}
{{- fail (printf "%s: a service account is known by its token alone: enable kubernetesIssuer" $key) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if eq .Values.store.engine "etcd" }}
{{- with .Values.store.etcd }}
{{- $secret := or .user .clientCertificate }}
{{- if and $secret (not .existingSecret) }}
{{- fail "store.etcd.existingSecret: is needed for user and clientCertificate" }}
{{- end }}
{{- if and (contains "http://" (join "," .endpoints)) (not .allowPlaintext) }}
{{- fail "store.etcd.endpoints: http:// needs store.etcd.allowPlaintext" }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
