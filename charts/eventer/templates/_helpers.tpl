{{- define "eventer.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Short enough for what is put behind it. */}}
{{- define "eventer.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "eventer.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "eventer.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Names of objects outside of namespaces: two releases of one name may live in two namespaces. */}}
{{- define "eventer.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "eventer.fullname" .) -}}
{{- end -}}

{{- define "eventer.selectorLabels" -}}
app.kubernetes.io/name: {{ include "eventer.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "eventer.labels" -}}
{{ include "eventer.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "eventer.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "eventer.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "eventer.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "eventer.claimName" -}}
{{- default (include "eventer.fullname" .) .Values.persistence.existingClaim -}}
{{- end -}}

{{/* The ConfigMap in which it is noted what each sink has settled. */}}
{{- define "eventer.mirrorName" -}}
{{- printf "%s-positions" (include "eventer.fullname" .) -}}
{{- end -}}

{{- define "eventer.statePath" -}}
{{- dig "state" "path" "" .Values.config | default "/var/lib/eventer" | clean -}}
{{- end -}}

{{- define "eventer.listen" -}}
{{- dig "server" "listen" "" .Values.config | default ":8080" -}}
{{- end -}}

{{- define "eventer.port" -}}
{{- include "eventer.listen" . | regexFind "[0-9]+$" -}}
{{- end -}}

{{/* The file that the daemon reads. No `tpl`: braces and dollars in it are the daemon's. */}}
{{- define "eventer.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if not $config.sinks -}}
{{- $_ := set $config "sinks" (dict "stdout" (dict "kind" "stdout")) -}}
{{- end -}}
{{- if .Values.persistence.mirror -}}
{{- $mirror := dict "configmap" (include "eventer.mirrorName" .) "namespace" .Release.Namespace -}}
{{- $_ := set $config "state" (merge (dict "mirror" $mirror) ($config.state | default dict)) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/*
What the daemon asks of this cluster's API server, as YAML: the API groups that are read as a whole, those read in
single namespaces, whether nodes are read, whether the uid of kube-system is asked for, what sinks want looked up, and
whether anything is asked for at all.
Sources with a kubeconfig or a context bring rights of their own.
*/}}
{{- define "eventer.rights" -}}
{{- $groups := dict "core" "" "events" "events.k8s.io" -}}
{{- $cluster := list -}}
{{- $namespaces := dict -}}
{{- $identity := false -}}
{{- $choose := false -}}
{{- $nodes := false -}}
{{- $any := false -}}
{{- range .Values.config.sources -}}
{{- $kubernetes := .kubernetes | default dict -}}
{{- if not (or $kubernetes.kubeconfig $kubernetes.context) -}}
{{- $any = true -}}
{{- if not .cluster -}}{{- $identity = true -}}{{- end -}}
{{- if $kubernetes.namespace_selector -}}{{- $choose = true -}}{{- end -}}
{{- if kindIs "bool" $kubernetes.nodes -}}
{{- $nodes = or $nodes $kubernetes.nodes -}}
{{- else if not (or $kubernetes.namespaces $kubernetes.namespace_selector) -}}
{{- $nodes = true -}}
{{- end -}}
{{- $group := get $groups ($kubernetes.api | default "core") -}}
{{- range $kubernetes.namespaces -}}
{{- $_ := set $namespaces . (append (get $namespaces . | default list) $group | uniq) -}}
{{- else -}}
{{- $cluster = append $cluster $group | uniq -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $enrich := list -}}
{{- if $any -}}
{{- range .Values.config.sinks -}}
{{- $enrich = concat $enrich (.enrich | default list) | uniq -}}
{{- end -}}
{{- end -}}
{{- toYaml (dict "cluster" $cluster "namespaces" $namespaces "identity" $identity "choose" $choose "nodes" $nodes "enrich" $enrich "any" $any) -}}
{{- end -}}

{{/* The rule for events of some API groups. */}}
{{- define "eventer.eventsRule" -}}
- apiGroups: {{ toJson . }}
  resources: [events]
  verbs: [list, watch]
{{- end -}}

{{/*
The rules for what sinks want looked up within namespaces: `enrich` has it, `owners` are more kinds that own objects, and
`cluster` says whether it is for all namespaces.
*/}}
{{- define "eventer.enrichRules" -}}
{{- $pods := false -}}
{{- range list "pod" "owner" "node" "logs" -}}
{{- $pods = or $pods (has . $.enrich) -}}
{{- end -}}
{{- if $pods }}
- apiGroups: [""]
  resources: [pods]
  verbs: [get]
{{- end }}
{{- if has "logs" .enrich }}
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
{{- end }}
{{- if has "owner" .enrich }}
- apiGroups: [""]
  resources: [replicationcontrollers]
  verbs: [get]
- apiGroups: [apps]
  resources: [replicasets, deployments, statefulsets, daemonsets]
  verbs: [get]
- apiGroups: [batch]
  resources: [jobs, cronjobs]
  verbs: [get]
{{- range .owners }}
- apiGroups: {{ toJson .apiGroups }}
  resources: {{ toJson .resources }}
  verbs: [get]
{{- end }}
{{- end }}
{{- if has "namespace" .enrich }}
- apiGroups: [""]
  resources: [namespaces]
  verbs: {{ .cluster | ternary "[get, list, watch]" "[get]" }}
{{- end }}
{{- end -}}

{{/* Name of the volume for a Secret. Names of Secrets may be longer than those of volumes, and hold dots. */}}
{{- define "eventer.secretVolume" -}}
{{- printf "secret-%s" (sha256sum . | trunc 12) -}}
{{- end -}}
