"""From bands to features: indices, textures, terrain, components, sharper bands."""
