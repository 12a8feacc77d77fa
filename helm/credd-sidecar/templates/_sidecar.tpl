{{- /* An item of `initContainers`. */ -}}
{{- define "credd-sidecar.container" -}}
{{- include "credd-sidecar.check" . -}}
{{- $version := (index .Subcharts "credd-sidecar").Chart.AppVersion -}}
{{- with index .Values "credd-sidecar" -}}
- name: credd
  image: "{{ .image.repository }}{{ if .image.digest }}@{{ .image.digest }}{{ else }}:{{ default $version .image.tag }}{{ end }}"
  imagePullPolicy: {{ .image.pullPolicy }}
  # A native sidecar.
  restartPolicy: Always
  args:
    - sidecar
    - {{ printf "--log=%s" .log | quote }}
    - "--authority={{ .authority.address }}"
    {{- if or .authority.ca.configMap .authority.ca.secret }}
    - "--authority-ca-file=/etc/credd/ca/{{ .authority.ca.key }}"
    {{- end }}
    {{- if .authority.token.enabled }}
    - --authority-token-file=/var/run/secrets/credd/token
    {{- end }}
    {{- if .authority.clientCertificate }}
    - --authority-certificate-file=/etc/credd/client/tls.crt
    - --authority-key-file=/etc/credd/client/tls.key
    {{- end }}
    {{- if .authority.allowPlaintext }}
    - --authority-allow-plaintext
    {{- end }}
    - "--socket={{ .socketDirectory }}/sidecar.sock"
    {{- if .port }}
    - --sidecar-listen=127.0.0.1:{{ .port }}
    {{- end }}
    - --sidecar-health-listen={{ .listenAddress }}:{{ .healthPort }}
    {{- if .metricsPort }}
    - --sidecar-metrics-listen={{ .listenAddress }}:{{ .metricsPort }}
    {{- end }}
    - --sidecar-cache-mib={{ .cacheMib }}
    - --sidecar-check-ms={{ .checkMs }}
    - --sidecar-shutdown-seconds={{ .shutdownSeconds }}
    {{- with .tracesEndpoint }}
    - "--traces-endpoint={{ . }}"
    {{- end }}
  {{- if .configMap }}
  env:
    - {name: CREDD_CONFIG, value: /etc/credd/config/credd.toml}
  {{- end }}
  ports:
    - {name: credd-health, containerPort: {{ .healthPort }}}
    {{- if .metricsPort }}
    - {name: credd-metrics, containerPort: {{ .metricsPort }}}
    {{- end }}
  # Only that the process is up: the containers that follow start also while credd can't be reached.
  startupProbe:
    grpc: {port: {{ .healthPort }}, service: started}
    periodSeconds: 1
    failureThreshold: 30
  livenessProbe:
    grpc: {port: {{ .healthPort }}, service: started}
    periodSeconds: 10
    failureThreshold: 6
    timeoutSeconds: 5
  # Whether it can answer.
  readinessProbe:
    grpc: {port: {{ .healthPort }}}
    periodSeconds: 5
    failureThreshold: 2
    timeoutSeconds: 2
  securityContext:
    {{- toYaml .securityContext | nindent 4 }}
  resources:
    {{- toYaml .resources | nindent 4 }}
  volumeMounts:
    - {name: credd-socket, mountPath: {{ .socketDirectory | quote }}}
    {{- if or .authority.ca.configMap .authority.ca.secret }}
    - {name: credd-ca, mountPath: /etc/credd/ca, readOnly: true}
    {{- end }}
    {{- if .authority.token.enabled }}
    - {name: credd-token, mountPath: /var/run/secrets/credd, readOnly: true}
    {{- end }}
    {{- if .authority.clientCertificate }}
    - {name: credd-client, mountPath: /etc/credd/client, readOnly: true}
    {{- end }}
    {{- if .configMap }}
    - {name: credd-config, mountPath: /etc/credd/config, readOnly: true}
    {{- end }}
{{- end }}
{{- end }}

{{- /* Items of `volumes`. */ -}}
{{- define "credd-sidecar.volumes" -}}
{{- include "credd-sidecar.check" . -}}
{{- with index .Values "credd-sidecar" -}}
- name: credd-socket
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
{{- with .authority.ca }}
{{- if .configMap }}
- name: credd-ca
  configMap: {name: {{ .configMap | quote }}, items: [{key: {{ .key | quote }}, path: {{ .key | quote }}}]}
{{- else if .secret }}
- name: credd-ca
  secret: {secretName: {{ .secret | quote }}, items: [{key: {{ .key | quote }}, path: {{ .key | quote }}}]}
{{- end }}
{{- end }}
{{- with .authority.token }}
{{- if .enabled }}
- name: credd-token
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken: {path: token, audience: {{ .audience | quote }}, expirationSeconds: {{ .expirationSeconds }}}
{{- end }}
{{- end }}
{{- with .authority.clientCertificate }}
- name: credd-client
  secret: {secretName: {{ . | quote }}, defaultMode: 0440}
{{- end }}
{{- with .configMap }}
- name: credd-config
  configMap: {name: {{ . | quote }}}
{{- end }}
{{- end }}
{{- end }}

{{- /* The port that spans are sent to, for a NetworkPolicy; nothing: none are sent. */ -}}
{{- define "credd-sidecar.tracesPort" -}}
{{- with (index .Values "credd-sidecar").tracesEndpoint -}}
{{- regexFind ":[0-9]+/?$" . | trimAll ":/" | default "4317" }}
{{- end }}
{{- end }}
