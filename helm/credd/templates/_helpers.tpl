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

{{- /* The port of a URL, or the one that it has without saying. */ -}}
{{- define "credd.port" -}}
{{- regexFind "^https?://[^/]*:[0-9]+(/|$)" (index . 0) | regexFind ":[0-9]+/?$" | trimAll ":/" | default (index . 1) }}
{{- end }}
