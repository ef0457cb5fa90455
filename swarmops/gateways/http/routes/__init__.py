"""One file a subject. See swarmops.gateways.http.app and .router."""
