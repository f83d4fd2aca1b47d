"""How our own networks are made and measured: contrastive training of CLIP from pictures with texts."""
