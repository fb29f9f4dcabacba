"""Task metrics: average precision, mean IoU, landmark error."""
