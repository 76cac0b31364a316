"""Where paths come from: folders, lists, manifests, watched folders, object stores."""
