"""Eventer streams Kubernetes Events and node problems out of clusters, and loses none."""
