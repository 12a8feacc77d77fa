{{- /* The template of the server's pods. */ -}}
{{- define "credd.podMetadata" -}}
annotations:
  checksum/config: {{ include "credd.tomlHash" . }}
  {{- with .Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
labels:
  {{- include "credd.labelsWith" (list . .Values.podLabels) | nindent 2 }}
  app.kubernetes.io/component: server
{{- end }}

{{- define "credd.podSpec" -}}
serviceAccountName: {{ include "credd.serviceAccountName" . | quote }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
terminationGracePeriodSeconds: {{ include "credd.gracePeriod" . }}
{{- if .Values.store.createUntil }}
initContainers:
  - name: init
    {{- include "credd.container" (list . (list "init" "--until" .Values.store.createUntil)) | nindent 4 }}
{{- end }}
containers:
  - name: credd
    {{- include "credd.container" (list . (list "serve")) | nindent 4 }}
    ports:
      - {name: grpc, containerPort: 7420}
      - {name: metrics, containerPort: 7421}
      - {name: health, containerPort: 7422}
    {{- range $probe := list "startup" "readiness" "liveness" }}
    {{- /* To end a server that waits, for leases, for etcd or for an operator, is of no use:
    whether it can answer is asked for readiness alone. */}}
    {{ $probe }}Probe:
      grpc: {port: 7422 {{- if ne $probe "readiness" }}, service: started {{- end }}}
      {{- toYaml (index $.Values.probes $probe) | nindent 6 }}
    {{- end }}
volumes:
  {{- include "credd.volumes" . | nindent 2 }}
{{- include "credd.scheduling" . }}
{{- with .Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  {{- $own := dict "labelSelector" (dict "matchLabels" (include "credd.selectorLabels" $ | fromYaml)) }}
  - {{- toYaml (ternary . (merge $own .) (hasKey . "labelSelector")) | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}

{{- /* A container that runs credd with arguments and the configuration. */ -}}
{{- define "credd.container" -}}
{{- $root := index . 0 }}
{{- with $root -}}
image: {{ include "credd.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args:
  {{- toYaml (index $ 1) | nindent 2 }}
env:
  - {name: CREDD_CONFIG, value: /etc/credd/config/credd.toml}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
volumeMounts:
  - {name: config, mountPath: /etc/credd/config, readOnly: true}
  - {name: keyring, mountPath: /etc/credd/keyring, readOnly: true}
  - {name: data, mountPath: /var/lib/credd}
  {{- if include "credd.tlsSecret" . }}
  - {name: tls, mountPath: /etc/credd/tls, readOnly: true}
  {{- end }}
  {{- if .Values.tls.clientCa.enabled }}
  - {name: client-ca, mountPath: /etc/credd/client-ca, readOnly: true}
  {{- end }}
  {{- if and (eq .Values.store.engine "etcd") .Values.store.etcd.existingSecret }}
  - {name: etcd, mountPath: /etc/credd/etcd, readOnly: true}
  {{- end }}
  {{- if and .Values.kubernetesIssuer.enabled .Values.kubernetesIssuer.inCluster }}
  - {name: issuer, mountPath: /var/run/secrets/credd/issuer, readOnly: true}
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}

{{- /* Files of Secrets are for the pod's group alone: credd reads no others. The
volume of sled is the StatefulSet's, or that of a Job. */ -}}
{{- define "credd.volumes" -}}
- name: config
  configMap: {name: {{ include "credd.fullname" . | quote }}}
- name: keyring
  secret:
    secretName: {{ .Values.keyring.existingSecret | quote }}
    defaultMode: 0440
    items: [{key: {{ .Values.keyring.key | quote }}, path: {{ .Values.keyring.key | quote }}}]
{{- if eq .Values.store.engine "etcd" }}
- name: data
  emptyDir: {sizeLimit: 64Mi}
{{- end }}
{{- with include "credd.tlsSecret" . }}
- name: tls
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0440
    items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}]
{{- end }}
{{- with .Values.tls.clientCa }}
{{- if .enabled }}
- name: client-ca
  secret:
    secretName: {{ default (include "credd.tlsSecret" $) .existingSecret | quote }}
    defaultMode: 0440
    items: [{key: {{ .key | quote }}, path: {{ .key | quote }}}]
{{- end }}
{{- end }}
{{- if and (eq .Values.store.engine "etcd") .Values.store.etcd.existingSecret }}
- name: etcd
  secret:
    secretName: {{ .Values.store.etcd.existingSecret | quote }}
    defaultMode: 0440
{{- end }}
{{- if and .Values.kubernetesIssuer.enabled .Values.kubernetesIssuer.inCluster }}
- name: issuer
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3600}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "credd.scheduling" -}}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- range $key := list "nodeSelector" "tolerations" "affinity" }}
{{- with index $.Values $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}
