"""Networks: what runs is ONNX, with a model card beside the weights."""
