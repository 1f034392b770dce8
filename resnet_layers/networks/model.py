"""`ResNet`: stem, stages and head as one model."""

import os
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Self

import keras

from resnet_layers._support import checks
from resnet_layers.layers import _shapes
from resnet_layers.layers._batches import takes_none
from resnet_layers.layers.head import FLATTENING, last_activation
from resnet_layers.layers.stem import Stem
from resnet_layers.networks import objectives, variants
from resnet_layers.networks.always_built import AlwaysBuilt
from resnet_layers.networks.summary import Shown
from resnet_layers.weights import pretrained


@keras.saving.register_keras_serializable(package="resnet_layers")
class ResNet(AlwaysBuilt):
    """`head(norm(stage_n(… stage_1(stem(x)))))`, built as soon as it is made.

    Any Keras layer can be the stem, a stage or the head. The convolutions need to know the
    number of channels and nothing else, so one instance takes images of any size, unless its own
    head needs a fixed one.

    Args:
        stem: `Stem`, or any layer from images to a feature map.
        stages: `ResNetStage`s, or any layers from a feature map to a feature map; at least one.
        head: `ClassifierHead`, or any layer; `None` makes a model that returns the last feature
            map.
        input_shape: Sizes in pixels, or `None` for any, and the number of channels, in the order
            of the stem's axes: `(height, width, channels)` for images.
        norm: Layer between the last stage and the head, such as the `NormAct` that pre-activation
            networks end with, or `None`.
        metadata: What belongs to the weights and is saved with them, such as class names and
            preprocessing: a mapping of what JSON can hold.
        name: Name of the model.
        **layer_keywords: `dtype` and `trainable`, as of any Keras layer. The dtype policy is the
            stem's; another one is refused, since layers that exist already cannot follow it.

    Input shape:
        `(batch, *input_shape)`, such as `(batch, height, width, channels)`.

    Output shape:
        The head's, such as `(batch, classes)`.

    Raises:
        ValueError: If a layer is given twice, if shapes do not fit, or if `dtype` is not the
            stem's.
        AttributeError: If a part, `input_shape` or `dtype_policy` is set later.
            `model.replace(head=head)` is a model of the same layers with a new head.
        TypeError: If a part is no layer, or `input_shape` no triple.

    Example:

    >>> model = ResNet(Stem(8), [ResNetStage(8, 1), ResNetStage(16, 1, strides=2)],
    ...                ClassifierHead(10))
    >>> model(keras.ops.ones((2, 32, 32, 3))).shape
    TensorShape([2, 10])
    >>> {name: x.shape[1:] for name, x in model.features(keras.Input((32, 32, 3))).items()}
    {'stem': (16, 16, 8), 'stage1': (8, 8, 8), 'stage2': (4, 4, 16)}

    Reference:
        He et al., Deep Residual Learning for Image Recognition, 2015, table 1.
    """

    def __init__(
        self,
        stem: Any,
        stages: Sequence[Any],
        head: Any = None,
        *,
        input_shape: Sequence[int | None] = (None, None, 3),
        norm: Any = None,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        **layer_keywords: Any,
    ) -> None:
        stem = _shapes.layer("stem", stem)
        policy = keras.dtype_policies.get(layer_keywords.pop("dtype", stem.dtype_policy))
        # The config of a model of Keras has no policy of its own.
        if not isinstance(stem, keras.Model) and _config(policy) != _config(stem.dtype_policy):
            raise ValueError(
                "`dtype` must be the stem's policy; give it to the stem, the stages and the head. "
                f"Received: dtype={policy}, stem.dtype_policy={stem.dtype_policy}"
            )
        super().__init__(name=name, dtype=policy, **layer_keywords)
        if name is not None and type(self) is ResNet:  # Keras names private classes `__class`
            checks.scope(name, outermost=True)
        self.stem = stem
        self.stages = tuple(_shapes.layers("stages", stages))
        self.norm = None if norm is None else _shapes.layer("norm", norm)
        self.head = None if head is None else _shapes.layer("head", head)
        self.input_shape = _shapes.input_shape(input_shape, getattr(stem, "layout", None))
        # From here Sequential makes its Input: of `input_shape` it expects the batch as well.
        self._input_shape_arg = self.input_shape
        self.metadata = checks.metadata(metadata)
        inner = [id(layer) for part in self._parts() for layer in part._flatten_layers()]
        if len(set(inner)) < len(inner):
            raise ValueError(
                "The parts of a ResNet must be different layers, since a file stores each one by "
                f"itself. Received: stages={[stage.name for stage in self.stages]}"
            )
        # Keras' files take the build config, and its exporters the signature, from here.
        self._build_shapes_dict = {"input_shape": (None, *self.input_shape)}
        # Not `self.build`: after Keras' wrapper around it a model takes no more layers.
        AlwaysBuilt.build(self, (None, *self.input_shape))
        for part in self._parts() if not self.trainable else ():
            part.trainable = False

    @classmethod
    def from_variant(
        cls,
        variant: str,
        classes: int = 1000,
        input_shape: Sequence[int | None] = (None, None, 3),
        classifier_activation: Any = None,
        output_stride: int = 32,
        drop_path: float = 0.0,
        **overrides: Any,
    ) -> Self:
        """A network by its name, with fresh weights.

        Args:
            variant: A name from `list_variants()`.
            classes: Number of classes, positive.
            input_shape: Sizes in pixels, or `None` for any, and channels. The default stands for
                any size and 3 channels in networks of other ranks and data formats as well, and
                for the usual size of a network whose head flattens the last map, as VGG's does.
            classifier_activation: `None` for logits, `"softmax"`, or another activation.
            output_stride: The largest step of the last feature map in pixels, 8, 16 or 32:
                stages that would exceed it have dilation in place of their strides.
            drop_path: Probability with which training drops the last block's body for an image,
                in [0, 1); it grows linearly from 0 in the first block.
            **overrides: What should differ from the variant: `blocks`, `filters`, `bottleneck`,
                `groups`, `group_width`, `kernel_size`, `strides`, `widths`, `rematerialize` or
                `style`; any field of `BlockStyle`; `stem` or `head`, as keywords that differ or as
                a layer (`head=None` for none); `name`, `dtype`, `trainable` and `metadata` of the
                model.

        Returns:
            The built model, named after the variant.

        Raises:
            ValueError: If the name is unknown, which lists the closest ones; or if a value is
                out of range.
            TypeError: If an override is unknown.

        Example:

        >>> model = ResNet.from_variant("resnet18", classes=10, shortcut="none")
        >>> model.name, model.output_shape
        ('resnet18', (None, 10))
        """
        row, parts, keywords = variants.find(variant).override(**overrides)
        layer_keywords = {key: keywords[key] for key in ("dtype",) if key in keywords}
        stem = parts["stem"] if "stem" in parts else row.make_stem(**layer_keywords)
        stages = row.make_stages(stem, output_stride, drop_path, **layer_keywords)
        if "head" not in parts:
            parts["head"] = row.make_head(classes, classifier_activation, **layer_keywords)
        elif classes != 1000 or classifier_activation is not None:
            raise ValueError(
                "`classes` and `classifier_activation` must be left out when `head` is given. "
                f"Received: classes={classes!r}, classifier_activation={classifier_activation!r}"
            )
        if input_shape in ((None, None, 3), [None, None, 3]):
            flattens = getattr(parts["head"], "pooling", None) in FLATTENING
            pixels = variants.row(variant).image_size[-1] if flattens else None
            input_shape = row.layout.shape(None, (pixels,) * row.layout.rank, 3)[1:]
        return cls(
            stem,
            stages,
            parts["head"],
            input_shape=input_shape,
            norm=row.make_norm(**layer_keywords),
            **{"name": variant, **keywords},
        )

    @classmethod
    def from_pretrained(
        cls,
        tag: str,
        *,
        folder: str | os.PathLike[str] | None = None,
        classes: int | None = None,
        **overrides: Any,
    ) -> Self:
        """A network with published weights, and with what they expect of images.

        The weights are those of a file in `folder`, or else in the cache of the Hugging Face hub,
        or are downloaded from there if `huggingface_hub` is installed. Those of keras.applications
        come through Keras' own cache and download.

        Args:
            tag: A name from `list_pretrained()`.
            folder: Where to look first: for `TAG.safetensors`, `.pth`, `.npz` or `.h5`, or for a
                folder `TAG` with what the hub has.
            classes: Number of classes. Another one than that of the weights gives a fresh
                classifier. `None` takes theirs.
            **overrides: As of `ResNet.from_variant`, such as `input_shape`. With other channels
                than 3 the first kernel is adapted.

        Returns:
            The network. Its `metadata` has `"preprocessing"`, which `preprocessing(model)` makes a
            layer of, and `"pretrained"` with tag, source, licence and classes.

        Raises:
            ValueError: If there is no such tag, or none with weights, or if the file is not theirs.
            FileNotFoundError: If the weights are nowhere.

        Example:

        >>> folder = getfixture("tmp_path")
        >>> model = ResNet.from_variant("resnet10t")  # in place of trained weights
        >>> save_torch_weights(model, folder / "resnet10t.c3_in1k.safetensors")
        >>> model = ResNet.from_pretrained("resnet10t.c3_in1k", folder=folder)
        >>> model.metadata["pretrained"]["license"]
        'apache-2.0'

        Reference:
            The pretrained configurations of timm 1.0.
        """
        network: Self = pretrained.load(
            cls.from_variant, tag, folder, classes, stacklevel=3, **overrides
        )
        return network

    def replace(self, **changes: Any) -> "ResNet":
        """The same network with other parts: a new `ResNet` of the same layers and weights.

        Args:
            **changes: What differs: `stem`, `stages`, `head`, `norm`, `input_shape`, `metadata` or
                `name`, as the constructor takes them. All else is the model's, but for
                `trainable`: frozen parts stay frozen, and new ones learn.

        Returns:
            A plain `ResNet` that shares its layers with this model. It is not compiled.

        Raises:
            TypeError: If an argument is unknown, or if the model is of a class with a `call` of
                its own, which another class would not have.
            ValueError: If shapes do not fit.

        Example:

        >>> model = ResNet.from_variant("resnet18", classes=10)
        >>> model.replace(head=ClassifierHead(2)).output_shape
        (None, 2)
        """
        mine = {name: getattr(self, name) for name in _REPLACEABLE}
        unknown = sorted(set(changes) - set(mine))
        if unknown:
            raise TypeError(
                f"`replace` takes {checks.some(mine, str)}. Received: {checks.some(unknown)}"
            )
        if not computes_as_parts(self):
            raise TypeError(
                "`replace` needs a class that computes as ResNet does, since it makes a ResNet. "
                f"Received: a {type(self).__name__}, which has a `call` of its own"
            )
        return ResNet(**{**mine, **changes})

    @property
    def output_shape(self) -> Any:
        """The shape of the output for an input of `input_shape`."""
        return self.compute_output_shape((None, *self.input_shape))

    @takes_none
    def call(self, inputs: Any, training: bool | None = None) -> Any:
        x = inputs
        for part in self._parts():
            # Not None: layers of Keras that resize images would take it for True, and hand that on.
            x = part(x, training=False if training is None else training)
        return x

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        # Here, since Keras compiles no model from a file whose `compile` is overridden.
        objectives.warn_of_logits(getattr(self, "loss", None), last_activation(self))
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def features(self, inputs: Any, training: bool | None = None) -> dict[str, Any]:
        """The map after the stem's convolution, and after each stage.

        Args:
            inputs: Images, or `keras.Input` for a model that extracts features.
            training: Whether normalization uses the statistics of the batch.

        Returns:
            `{"stem": …, "stage1": …, …}`. The stem's map is the one before its pooling, so that
            each map of an ImageNet network has half the resolution of the one before.

        Example:

        >>> model = ResNet.from_variant("cifar_resnet20", classes=10)
        >>> images = keras.Input((32, 32, 3))
        >>> extractor = keras.Model(images, model.features(images))
        >>> extractor(keras.ops.ones((1, 32, 32, 3)))["stage3"].shape
        TensorShape([1, 8, 8, 64])
        """
        training = False if training is None else training
        if isinstance(self.stem, Stem) and type(self.stem).call is Stem.call:
            maps = {"stem": self.stem.convolve(inputs, training)}
            x = self.stem.pool(maps["stem"], training)
        else:
            maps = {"stem": self.stem(inputs, training=training)}
            x = maps["stem"]
        for i, stage in enumerate(self.stages, start=1):
            maps[f"stage{i}"] = x = stage(x, training=training)
        return maps

    def summary(
        self,
        line_length: int | None = None,
        positions: list[float] | None = None,
        print_fn: Any = None,
        expand_nested: bool = True,
        show_trainable: bool = False,
        layer_range: Sequence[str] | None = None,
    ) -> None:
        """Prints parts and blocks; `functional_view(model).summary()` prints every layer.

        Args:
            line_length: Width of the table in characters.
            positions: Where its columns end, as shares of the width.
            print_fn: What is called with the text, in place of `print`.
            expand_nested: Whether stages are followed by their blocks.
            show_trainable: Whether there is a column for what trains.
            layer_range: Names of the first and the last part to print; blocks follow their stage.
        """
        shown: Any = Shown(self, self._parts(), (None, *self.input_shape))
        added = [layer for layer in self.layers if not any(p is layer for p in self._parts())]
        shown.layers += added  # by a derived class
        keras.Model.summary(
            shown, line_length, positions, print_fn, expand_nested, show_trainable, layer_range
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        spec = self.compute_output_spec(keras.KerasTensor(tuple(input_shape)))
        return keras.tree.map_structure(lambda tensor: tensor.shape, spec)

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        if type(self).call is not ResNet.call:  # only a trace knows what a subclass does
            return super().compute_output_spec(inputs, training=training)
        x = inputs
        for part in self._parts():
            x = part.compute_output_spec(x)
        return x

    def own_config(self) -> dict[str, Any]:
        return {
            "stem": keras.saving.serialize_keras_object(self.stem),
            "stages": [keras.saving.serialize_keras_object(stage) for stage in self.stages],
            "head": self.head and keras.saving.serialize_keras_object(self.head),
            "input_shape": self.input_shape,
            "norm": self.norm and keras.saving.serialize_keras_object(self.norm),
        }

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "metadata": checks.metadata(self.metadata)}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> Self:
        config = dict(config)
        metadata = config.pop("metadata", None)
        # A scope takes the place of the one around it, so none is entered without need.
        scope = keras.saving.CustomObjectScope(custom_objects) if custom_objects else nullcontext()
        with scope:
            model: Self = super().from_config(config)
        if metadata is not None:
            model.metadata = checks.metadata(metadata)
        return model

    def _parts(self) -> list[keras.layers.Layer]:
        parts = (self.stem, *self.stages, self.norm, self.head)
        return [part for part in parts if part is not None]

    def quantize(self, *args: Any, **kwargs: Any) -> None:
        """Refused: Keras would quantize the last layer of the head and no convolution."""
        raise NotImplementedError(
            "`quantize` must be left to an exported model, since Keras quantizes no convolutions"
        )

    def __setattr__(self, name: str, value: Any) -> None:
        self._refuse_to_replace(name)
        if name == "name":
            checks.scope(value)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        self._refuse_to_replace(name)
        super().__delattr__(name)

    def _refuse_to_replace(self, name: str) -> None:
        if name == "call":
            raise AttributeError(
                "`call` of a ResNet cannot be set, since its file and its copies would not have "
                "it: derive a class, or make a model of other layers by `model.replace`"
            )
        if name == "dtype_policy":
            raise AttributeError(
                "`dtype_policy` of a ResNet cannot be set, since its layers keep theirs. Make a "
                "model of another precision by `with_dtype`, or of other layers by `model.replace`"
            )
        if name in ("stem", "stages", "norm", "head", "input_shape") and hasattr(self, name):
            raise AttributeError(
                f"`{name}` of a ResNet cannot be replaced. Make a model of the same layers: "
                f"`model.replace({name}={name})`"
            )


# The arguments that make the same network of the same layers.
_REPLACEABLE = ("stem", "stages", "head", "norm", "input_shape", "metadata", "name")


def computes_as_parts(model: ResNet) -> bool:
    """Whether a model, perhaps of a derived class, does no more than to call its parts in turn."""
    made = type(model)
    return (made.call, made.__call__) == (ResNet.call, ResNet.__call__)


def _config(policy: Any) -> Any:
    return keras.dtype_policies.serialize(policy)
