"""Analyses that run models: complexity, patch retrieval, feature gap, framework numbers."""
