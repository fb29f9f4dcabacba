"""Common parts of task models: OpenMMLab configurations and operators, ONNX Runtime."""
